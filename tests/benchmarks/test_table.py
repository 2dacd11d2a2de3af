"""Tables: what was written is read; what is not there is refused with what is; broken files are refused."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.benchmarks import (
    METRICS,
    About,
    Metric,
    Runs,
    Table,
    classes,
    compact_losses,
    embedded,
    open_table,
    write,
)
from raynas.benchmarks.schema import CHECKSUM, MANIFEST, checksum
from raynas.errors import InputError

ABOUT = About("nas_bench_201", "a test", "nothing")


def one_run(**changes):
    fields = {
        "dataset": "digits",
        "schedule": 2,
        "seed": 0,
        "epochs": (1, 2),
        "indices": np.array([3, 5]),
        "metrics": {"valid_accuracy_pct": np.array([[10.0, 20.0], [30.0, 40.0]])},
    }
    return Runs(**{**fields, **changes})


# Reading back


def test_every_value_is_read_as_it_was_written(small):
    for seed in (0, 1):
        there = small.indices if seed == 0 else small.indices[small.indices % 2 == 0]
        for epoch in (1, 2, 3):
            expected = small.made_up(there, seed, (epoch,))[:, 0]
            found = small.table.query("valid_accuracy_pct", there, dataset="cifar10", epoch=epoch, seed=seed)
            np.testing.assert_array_equal(found, expected)


def test_the_mean_is_over_the_runs_that_there_are(small):
    found = small.table.query("valid_accuracy_pct", small.indices, dataset="cifar10")
    of_0, of_1 = (small.made_up(small.indices, seed, (3,))[:, 0] for seed in (0, 1))
    np.testing.assert_allclose(found, np.where(small.indices % 2, of_0, (of_0 + of_1) / 2), rtol=1e-15)


@settings(deadline=None)
@given(data=st.data())
def test_an_array_is_answered_like_its_elements_one_by_one(small, data):
    shape = data.draw(st.lists(st.integers(0, 3), max_size=3))
    places = data.draw(st.lists(st.integers(0, 39), min_size=(n := int(np.prod(shape))), max_size=n))
    indices = small.indices[np.array(places, dtype=int)].reshape(shape)
    epoch = data.draw(st.sampled_from([None, 1, 2, 3]))
    ask = {"dataset": "cifar10", "epoch": epoch}
    found = small.table.query("valid_loss", indices, **ask)
    alone = [small.table.query("valid_loss", index, **ask) for index in indices.ravel().tolist()]
    np.testing.assert_array_equal(found, np.array(alone).reshape(shape))


def test_architectures_and_their_indices_are_the_same_question(small, space):
    architectures = [space.at(int(index)) for index in small.indices]
    ask = {"dataset": "cifar10", "epoch": 2}
    by_index = small.table.query("valid_loss", small.indices, **ask)
    np.testing.assert_array_equal(small.table.query("valid_loss", architectures, **ask), by_index)
    np.testing.assert_array_equal(small.table.query("valid_loss", small.indices.tolist(), **ask), by_index)
    assert small.table.query("valid_loss", architectures[3], **ask) == by_index[3]


def test_no_architectures_means_all_that_there_are(small):
    there = small.table.architectures("cifar10")
    assert there.tolist() == sorted(small.indices.tolist())
    np.testing.assert_array_equal(
        small.table.query("valid_loss", dataset="cifar10"),
        small.table.query("valid_loss", there, dataset="cifar10"),
    )


def test_curves_hold_every_seed_and_epoch_and_nan_where_there_is_no_run(small):
    curves = small.table.curves("valid_accuracy_pct", small.indices.reshape(8, 5), dataset="cifar10")
    assert curves.shape == (8, 5, 2, 3)
    of_1 = curves.reshape(40, 2, 3)[:, 1]
    assert (np.isnan(of_1).all(axis=1) == (small.indices % 2 == 1)).all()
    assert small.table.curves("valid_accuracy_pct", 14, dataset="cifar10").shape == (2, 3)


def test_what_belongs_to_an_architecture_is_the_same_at_every_seed_and_epoch(small):
    for epoch in (1, 3):
        for seed in (0, "mean"):
            ask = {"dataset": "cifar10", "epoch": epoch, "seed": seed}
            found = small.table.query("parameters_m", small.indices, **ask)
            np.testing.assert_array_equal(found, small.indices / 1e6)


def test_pandas_reads_the_file_in_natural_units(small):
    frame = pd.read_parquet(small.path)
    row = frame[(frame["dataset"] == "cifar10") & (frame["index"] == 14) & (frame["seed"] == 1)]
    assert row["epoch"].tolist() == [1, 2, 3]
    assert row["valid_accuracy_pct"].tolist() == small.made_up([14], 1, (1, 2, 3))[0].tolist()
    assert row["shifted_accuracy_pct"].isna().tolist() == [True, True, False]
    assert set(row["architecture"]) == {small.table.space.format(small.table.space.at(14))}


def test_every_column_says_its_meaning_and_every_metric_its_unit(small):
    schema = pq.read_schema(small.path)
    assert all(field.metadata[b"meaning"] for field in schema)
    units = {metric.name: metric.unit.encode() for metric in METRICS}
    assert {name: schema.field(name).metadata[b"unit"] for name in units} == units


def test_a_table_travels_by_its_path(small):
    again = pickle.loads(pickle.dumps(small.table))
    assert again.query("valid_loss", 14, dataset="cifar10") == small.table.query(
        "valid_loss", 14, dataset="cifar10"
    )


def test_a_description_says_what_there_is(small):
    described = small.table.describe()
    assert (described.n_architectures, described.n_trained) == (40, 40)
    assert [(part.dataset, part.schedule) for part in described.parts] == [
        ("cifar10", 3),
        ("cifar100", 12),
        ("cifar100", 200),
    ]
    cifar10 = described.parts[0]
    assert (cifar10.seeds, cifar10.epochs) == ((0, 1), (1, 2, 3))
    assert cifar10.known["shifted_accuracy_pct"] == (3,)
    assert cifar10.known["parameters_m"] == (1, 2, 3)
    assert "train_loss" not in cifar10.known
    assert described.about.constants == {"learning_rate": 0.1}
    assert "shifted_accuracy_pct: epochs 3 only" in str(described)


# Architectures that share a trained network


def test_members_of_a_class_have_the_results_of_the_one_that_was_trained(tmp_path, space):
    class_of, _ = classes(space)
    first = np.unique(class_of, return_index=True)[1]
    curves = (first[:, None] % 100) + np.array([[0.0, 0.5]])
    runs = one_run(indices=first, metrics={"valid_accuracy_pct": curves})
    write(tmp_path / "t.parquet", ABOUT, [runs], trained_as=first[class_of])
    table = Table.open(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table.query("valid_accuracy_pct", epoch=1), first[class_of] % 100)
    described = table.describe()
    assert (described.n_architectures, described.n_trained) == (15_625, 5_044)


def test_an_architecture_without_results_is_refused_by_its_name(tmp_path, space):
    trained_as = np.full(space.size, -1)
    trained_as[[3, 4, 5]] = (3, 3, 5)
    write(tmp_path / "t.parquet", ABOUT, [one_run()], trained_as=trained_as)
    table = Table.open(tmp_path / "t.parquet")
    assert table.query("valid_accuracy_pct", [3, 4, 5]).tolist() == [20.0, 20.0, 40.0]
    assert table.architectures().tolist() == [3, 4, 5]
    with pytest.raises(
        InputError, match=r"no run of architecture 6, \|none~0\|.*; there are runs of 3 of 15"
    ):
        table.query("valid_accuracy_pct", [3, 6])


# Questions that have no answer


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        ({"dataset": "cifar1"}, "no dataset 'cifar1'; did you mean 'cifar10'? There is: cifar10, cifar100"),
        ({}, "its datasets are cifar10, cifar100; say which is meant"),
        ({"dataset": "cifar100"}, "schedules of 12 and 200 epochs; say which is meant"),
        ({"dataset": "cifar10", "schedule": 12}, "a schedule of 12 epochs, but of 3"),
        (
            {"dataset": "cifar10", "metric": "valid_los"},
            "no 'valid_los'; did you mean 'valid_loss'? There is:",
        ),
        ({"dataset": "cifar10", "metric": "test_loss"}, "there is no 'test_loss'"),
        ({"dataset": "cifar10", "epoch": 4}, "no valid_loss at epoch 4; there is at 1 to 3"),
        ({"dataset": "cifar10", "epoch": 0}, "no valid_loss at epoch 0"),
        ({"dataset": "cifar10", "metric": "shifted_accuracy_pct", "epoch": 1}, "there is at 3"),
        ({"dataset": "cifar10", "seed": 2}, "no seed 2; there are 0 and 1, and 'mean'"),
        ({"dataset": "cifar10", "architectures": 15_625}, "its indices run from 0 to 15624"),
        ({"dataset": "cifar10", "architectures": -1}, "has no architecture -1"),
        ({"dataset": "cifar10", "architectures": np.array([0.5])}, "whole-number index, and came as float64"),
        ({"dataset": "cifar10", "architectures": [True]}, "whole-number index, and came as bool"),
    ],
)
def test_a_query_for_what_is_absent_says_what_there_is(small, ask, reason):
    with pytest.raises(InputError) as refused:
        small.table.query(**{"metric": "valid_loss", "architectures": 14, **ask})
    assert reason in str(refused.value)


def test_a_seed_that_this_architecture_lacks_is_refused_with_those_that_it_has(small):
    odd = small.indices[small.indices % 2 == 1]
    with pytest.raises(InputError, match=rf"with seed 1 of architecture {odd[0]}, .*; its seeds are 0$"):
        small.table.query("valid_loss", odd, dataset="cifar10", seed=1)


def test_an_unknown_name_lists_the_embedded_tables():
    with pytest.raises(InputError, match=rf"no table 'nope'.*Available: {', '.join(embedded()) or 'none'}"):
        open_table("nope")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_table(str(tmp_path / "absent.parquet"))


# Files that are no tables


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"not a table at all, but long enough to be looked at", b"PAR1" + b"\0" * 99]
)
def test_a_file_that_is_not_parquet_is_refused(tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.parquet: not a whole table file"):
        Table.open(tmp_path / "x.parquet")


def test_a_parquet_file_of_another_kind_is_refused(tmp_path):
    pd.DataFrame({"accuracy": [1.0]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="the columns accuracy, but not a table of raynas; convert it"):
        Table.open(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"version": 1', b'"version": 9', "its format is version 9 and this raynas reads version 1"),
        (b'"skip_connect"', b'"max_pool_3x3"', "was made for a search space nas_bench_201"),
        (b'"parts": [{', b'"parts": [[', "not a whole table file"),
        (b'"space": "nas_bench_201"', b'"space": "nowhere"', "nowhere.yaml"),
        (b'"name": "train_loss"', b'"name": "loss"', "its columns are not"),
        (b"[0, 0, 25]", b"[0, 0, 24]", "does not describe row group 0"),
        (b", [1, 7, 40]", b"", "does not describe its row groups"),
    ],
)
def test_metadata_that_does_not_fit_the_file_is_refused(small, tmp_path, old, new, reason):
    table = pq.read_table(small.path)
    file = pq.ParquetFile(small.path)
    text = file.metadata.metadata[b"raynas.table"]
    assert old in text
    path = tmp_path / "x.parquet"
    with pq.ParquetWriter(path, file.schema_arrow) as writer:
        for number in range(file.num_row_groups):
            writer.write_table(file.read_row_group(number).cast(table.schema))
        text = text.replace(old, new, 1)
        writer.add_key_value_metadata({MANIFEST: text, CHECKSUM: checksum(text)})
    with pytest.raises(InputError, match=reason) as refused:
        Table.open(path)
    assert str(refused.value).startswith(str(path))


def test_metadata_that_was_changed_is_refused(small, tmp_path):
    content = small.path.read_bytes()
    assert content.count(b'"seeds": [0, 1]') == 1
    (tmp_path / "x.parquet").write_bytes(content.replace(b'"seeds": [0, 1]', b'"seeds": [0, 2]'))
    with pytest.raises(InputError, match="its metadata is damaged"):
        Table.open(tmp_path / "x.parquet")


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_refused(small, tmp_path_factory, share):
    content = small.path.read_bytes()
    path = tmp_path_factory.getbasetemp() / "cut.parquet"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="not a whole table file"):
        Table.open(path)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_answers_as_before(small, tmp_path_factory, data):
    content = bytearray(small.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    path.write_bytes(content)
    try:
        table = Table.open(path)
        found = table.curves("valid_accuracy_pct", small.indices, dataset="cifar10")
    except InputError as refused:
        assert str(refused).startswith(str(path))
        return
    expected = small.table.curves("valid_accuracy_pct", small.indices, dataset="cifar10")
    np.testing.assert_array_equal(found, expected)


# Writing


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epochs": (2, 1)}, "epochs must ascend"),
        ({"epochs": (0, 1)}, "epochs must ascend from 1"),
        ({"epochs": (1, 3)}, "epoch 3 is beyond the schedule"),
        ({"indices": np.array([3, 3])}, "architecture 3 is given twice"),
        ({"indices": np.array([3, 15_625])}, "indices from 0 to 15624"),
        ({"metrics": {"valid_acc": np.zeros((2, 2))}}, "'valid_acc' is no metric; declare it"),
        ({"metrics": {"valid_loss": np.zeros(2)}}, r"has the shape \(2,\) and must have \(2, 2\)"),
        ({"metrics": {"flops_m": np.zeros((2, 2))}}, r"must have \(2,\)"),
        ({"metrics": {"test_accuracy_pct": np.full((2, 2), 101.0)}}, "must be percent, from 0 to 100"),
    ],
)
def test_what_is_no_table_is_not_written(tmp_path, changes, reason):
    path = tmp_path / "t.parquet"
    with pytest.raises(InputError, match=reason):
        write(path, ABOUT, [one_run(**changes)])
    assert list(tmp_path.iterdir()) == []


def test_runs_of_other_epochs_are_refused(tmp_path):
    other = one_run(seed=1, epochs=(2,), metrics={"valid_accuracy_pct": np.zeros((2, 1))})
    with pytest.raises(InputError, match="epochs 2, and other runs of it have 1 and 2"):
        write(tmp_path / "t.parquet", ABOUT, [one_run(), other])


def test_an_architecture_written_twice_in_different_row_groups_is_refused(tmp_path):
    with pytest.raises(InputError, match="architecture 5 is given twice"):
        write(tmp_path / "t.parquet", ABOUT, [one_run(), one_run(indices=np.array([7, 5]))])


def test_a_table_without_runs_is_not_written(tmp_path):
    with pytest.raises(InputError, match="no runs were given"):
        write(tmp_path / "t.parquet", ABOUT, [])


def test_a_table_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, ABOUT, [one_run()])
    before = path.read_bytes()

    def broken():
        yield one_run(seed=1)
        raise InputError("stop")

    with pytest.raises(InputError, match="stop"):
        write(path, ABOUT, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("trained_as", "reason"),
    [
        (np.zeros(3, dtype=int), "one entry an architecture"),
        (np.full(15_625, 15_625), "-1 or indices"),
        (np.roll(np.arange(15_625), 1), "stand for themselves"),
    ],
)
def test_a_map_that_leads_nowhere_is_refused(tmp_path, trained_as, reason):
    with pytest.raises(InputError, match=reason):
        write(tmp_path / "t.parquet", ABOUT, [one_run()], trained_as=trained_as)


def test_a_metric_cannot_be_declared_twice(tmp_path):
    extra = Metric("valid_loss", "float32", "nats", "again")
    with pytest.raises(InputError, match="name of another metric"):
        write(tmp_path / "t.parquet", ABOUT, [one_run()], extra=[extra])


def test_compact_losses_round_all_but_the_last_epoch():
    losses = np.array([[2.30258509, 0.12345678]], dtype=np.float32)
    assert compact_losses(losses).tolist() == [[np.float32(2.303), np.float32(0.12345678)]]


def test_a_space_too_large_to_enumerate_has_tables_too(tmp_path):
    from raynas.spaces import get_space

    darts = get_space("darts")
    rng = np.random.default_rng(0)
    architectures = [darts.sample(rng) for _ in range(5)]
    indices = np.array([darts.index(a) for a in architectures])
    runs = one_run(indices=indices, metrics={"test_loss": np.arange(10.0).reshape(5, 2)})
    write(tmp_path / "t.parquet", About("darts", "a test", "nothing"), [runs])
    table = Table.open(tmp_path / "t.parquet")
    assert table.query("test_loss", architectures).tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]


def test_reading_a_table_needs_neither_pandas_nor_torch(small):
    code = (
        "import sys; from raynas.benchmarks import open_table\n"
        f"table = open_table({str(small.path)!r}); table.describe()\n"
        "table.query('shifted_accuracy_pct', dataset='cifar10')\n"
        "sys.exit(bool({'pandas', 'torch', 'ray'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_parquet_file_has_no_nan_where_a_value_is_not_known(small):
    column = pq.read_table(small.path, columns=["shifted_accuracy_pct"]).column(0)
    assert column.null_count > 0
    assert not pa.compute.is_nan(column.drop_null()).to_numpy().any()
