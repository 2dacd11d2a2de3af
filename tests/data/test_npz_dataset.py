"""A user's own dataset: what is read, and every way in which a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from raynas.data.dataset.npz import Npz
from raynas.errors import InputError


def arrays(shape=(3, 6, 5), n_classes=4):
    rng = np.random.default_rng(0)
    content = {}
    for split, n in (("train", 12), ("valid", 6), ("test", 5)):
        content[f"{split}_images"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        content[f"{split}_labels"] = np.arange(n) % n_classes
    return content


@pytest.fixture
def saved(tmp_path):
    def save(**changes):
        path = tmp_path / "own.npz"
        np.savez(path, **{key: value for key, value in {**arrays(), **changes}.items() if value is not None})
        return str(path)

    return save


def test_a_whole_file_is_read_as_it_is(saved):
    data = Npz(saved()).load()
    np.testing.assert_array_equal(data.train.images, arrays()["train_images"])
    assert (data.n_classes, data.image_shape, len(data.valid), len(data.test)) == (4, (3, 6, 5), 6, 5)
    assert data.mean == pytest.approx((data.train.images / 255).mean(axis=(0, 2, 3)))
    assert data.std == pytest.approx((data.train.images / 255).std(axis=(0, 2, 3)))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_come_last(saved, channels):
    last = arrays(shape=(6, 5, channels))
    data = Npz(saved(**last)).load()
    assert data.image_shape == (channels, 6, 5)
    np.testing.assert_array_equal(
        data.test.images[2, channels - 1], last["test_images"][2, :, :, channels - 1]
    )


def test_a_constant_channel_is_shifted_and_not_divided_by_zero(saved):
    constant = {f"{s}_images": np.full_like(arrays()[f"{s}_images"], 7) for s in ("train", "valid", "test")}
    assert Npz(saved(**constant)).load().std == (1.0, 1.0, 1.0)


def test_options_reach_the_dataset(saved):
    small = {key: value // 16 for key, value in arrays().items() if key.endswith("images")}
    data = Npz(saved(**small), scale=16, flip=True, crop_pad=1).load()
    assert (data.scale, data.augmentation.flip, data.augmentation.crop_pad) == (16, True, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"valid_labels": None, "test_images": None},
            "lacks valid_labels, test_images; it holds train_images",
        ),
        (
            {"valid_images": np.zeros((6, 3, 5, 5), np.uint8)},
            r"valid_images: images .* of \(3, 5, 5\) where train",
        ),
        ({"test_images": np.zeros((5, 3, 6, 5))}, "test_images: float64"),
        ({"train_images": np.zeros((12, 30), np.uint8)}, r"train_images: uint8 \(12, 30\); due are"),
        ({"test_images": np.zeros((0, 3, 6, 5), np.uint8)}, "holds no image"),
        ({"valid_labels": np.arange(5) % 4}, "valid_labels: 5 labels for 6 images"),
        ({"test_labels": np.array([0, 1, 2, 3, 4])}, "test_labels: labels from 0 to 4; due is 0 to 3"),
        ({"train_labels": np.arange(12) - 1}, "train_labels: labels from -1 to 10"),
        ({"train_labels": np.zeros(12)}, r"train_labels: float64 \(12,\); due are integers"),
        ({"train_labels": np.array([None] * 12)}, "damaged or no array file"),
    ],
)
def test_what_is_wrong_is_said(saved, changes, said):
    with pytest.raises(InputError, match=said):
        Npz(saved(**changes)).load()


def test_all_that_is_wrong_comes_in_one_error(saved):
    path = saved(valid_labels=np.arange(5) % 4, test_labels=np.array([0, 1, 2, 3, 9]))
    with pytest.raises(InputError) as caught:
        Npz(path).load()
    assert len(str(caught.value).splitlines()) == 2


def test_pixels_above_the_scale_are_refused(saved):
    with pytest.raises(InputError, match=r"train_images: pixels up to 25\d where scale is 16"):
        Npz(saved(), scale=16).load()


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04 torn"])
def test_a_file_of_another_kind_is_an_input_error(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.npz: .*; due is an \.npz file with train_images"):
        Npz(str(path)).load()


def test_a_torn_file_is_an_input_error(saved):
    from pathlib import Path

    path = Path(saved())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged or no array file"):
        Npz(str(path)).load()


def test_a_single_array_is_an_input_error(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="holds a single array"):
        Npz(str(tmp_path / "one.npy")).load()


def test_a_missing_file_is_a_problem_of_the_path(tmp_path):
    [(field, message)] = Npz(str(tmp_path / "own.npz")).problems()
    assert field == "path"
    assert "no such file" in message


@pytest.mark.parametrize("options", [{"scale": 0}, {"scale": 256}, {"crop_pad": -1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Npz("own.npz", **options)
