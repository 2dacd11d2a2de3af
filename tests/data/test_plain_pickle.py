"""The reader of plain pickles: what it reads, and that it runs nothing."""

from __future__ import annotations

import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.data import plain_pickle
from raynas.errors import InputError

CONTENT = {
    "data": np.arange(24, dtype=np.uint8).reshape(2, 12),
    "labels": [3, 7],
    "mean": np.linspace(0, 1, 5),
    "names": ["a", "b"],
}


def as_python_2_wrote_it(rows, labels):
    """CIFAR's own files: protocol 2, byte strings, ``numpy.core``."""
    n, width = rows.shape
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + (b"(K\x01" + b"J" + struct.pack("<i", n) + b"J" + struct.pack("<i", width) + b"\x86")
        + dtype
        + (b"\x89T" + struct.pack("<i", rows.size) + rows.tobytes() + b"tb")
    )
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + listed + b"u."


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers_come_back(tmp_path, protocol):
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    found = plain_pickle.read(path)
    assert found.keys() == CONTENT.keys()
    for key in ("data", "mean"):
        assert found[key].dtype == CONTENT[key].dtype
        np.testing.assert_array_equal(found[key], CONTENT[key])
    assert found["labels"] == [3, 7]


def test_a_file_of_python_2_comes_back_with_byte_strings_for_keys(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (3, 12), dtype=np.uint8)
    path = tmp_path / "file"
    path.write_bytes(as_python_2_wrote_it(rows, [1, 0, 9]))
    assert pickle.loads(path.read_bytes(), encoding="latin1")["labels"] == [1, 0, 9], "the test's own writer"
    found = plain_pickle.read(path)
    np.testing.assert_array_equal(found[b"data"], rows)
    assert found[b"labels"] == [1, 0, 9]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_columns_first_and_numpy_numbers_come_back(tmp_path, protocol):
    path = tmp_path / "file"
    content = {
        "data": np.asfortranarray(CONTENT["data"]),
        "labels": [np.int64(5)],
        "big": np.arange(3, dtype=">i4"),
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = plain_pickle.read(path)
    np.testing.assert_array_equal(found["data"], content["data"])
    np.testing.assert_array_equal(found["big"], [0, 1, 2])
    assert found["labels"] == [5]


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ((os.mkdir, ("owned",)), "posix.mkdir"),
        ((eval, ("1",)), "builtins.eval"),
        ((np.load, ("x",)), "numpy.load"),
    ],
)
def test_a_foreign_global_is_refused_by_name_and_not_run(tmp_path, monkeypatch, call, named):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({"data": CONTENT["data"], "labels": Hostile(*call)}))
    with pytest.raises(InputError, match=f"refused '{named}'"):
        plain_pickle.read(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("array", [np.array([{}, None]), np.array(["text"]), np.zeros(2, dtype="u1,i4")])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, array):
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({"data": array}))
    with pytest.raises(InputError, match="which is not plain numbers"):
        plain_pickle.read(path)


WHOLE = pickle.dumps(CONTENT, protocol=2)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_anywhere_is_an_input_error(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "file"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(InputError, match="fetch the original again"):
        plain_pickle.read(path)


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_a_damaged_file_gives_data_or_an_input_error_and_nothing_else(tmp_path_factory, place, byte):
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_bytes(WHOLE[:place] + bytes([byte]) + WHOLE[place + 1 :])
    try:
        plain_pickle.read(path)
    except InputError as error:
        assert str(path) in str(error)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        plain_pickle.read(tmp_path / "file")
