"""Importers: every value of a source reaches the table, in its place; what is no source is refused."""

from __future__ import annotations

import bz2
import io
import os
import pickle
import zlib
from collections import OrderedDict
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raynas.benchmarks import Table
from raynas.benchmarks.importer import _pickled, _trials
from raynas.benchmarks.importing import IMPORTERS
from raynas.errors import InputError
from raynas.lookup import available, build
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")
# A Parquet file of NAS-Bench-201's 12-epoch results, one row a cell; whoever has one names it.
REAL = Path(os.environ.get("RAYNAS_NAS_BENCH_201_12EP", "not-named.parquet"))

# Not in the order of our indices, as the benchmark's own file is not.
ARCHITECTURES = [SPACE.at(index) for index in (9_000, 31, 15_624, 0, 4_242)]
EPOCHS = {"less": 2, "full": 4}
SEEDS = {"cifar10-valid": (777, 888), "cifar10": (888,), "cifar100": (777, 888), "ImageNet16-120": (999,)}
NAMES = {
    "cifar10-valid": "cifar10_valid",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "ImageNet16-120": "imagenet16_120",
}


def value(*key):
    """A number from 0 to 100 that belongs to a key."""
    return zlib.crc32(repr(key).encode()) / 2**32 * 100


def trial(architecture, schedule, dataset, seed, *, with_times):
    """One ``ResultsCount``, made by the package as the benchmark's authors made theirs."""
    from nas_201_api import ResultsCount

    epochs, text = EPOCHS[schedule], str(architecture)
    key = (text, schedule, dataset, seed)
    curve = {e: value(*key, "train", "accuracy", e) for e in range(epochs)}
    losses = {e: value(*key, "train", "loss", e) for e in range(epochs)}
    weights = OrderedDict()
    config = {"arch_str": text, "channel": 16, "num_cells": 5, "class_num": 10}
    parameters = value(text, dataset, "parameters") + (1.0 if seed == 777 else 0.0)
    made = ResultsCount(
        dataset,
        weights,
        curve,
        losses,
        np.float64(parameters),
        value(text, dataset, "flops"),
        config,
        seed,
        epochs,
        None,
    )
    splits = {"cifar10-valid": ["x-valid", "ori-test"], "cifar10": ["ori-test"]}
    for split in splits.get(dataset, ["x-valid", "x-test", "ori-test"]):
        # The oldest trials were tested at their end only.
        there = range(epochs) if with_times or split == "x-valid" else [epochs - 1]
        accuracies = {e: value(*key, split, "accuracy", e) for e in there}
        made.update_OLD_eval(split, accuracies, {e: value(*key, split, "loss", e) for e in there})
        if with_times:
            made.reset_pseudo_eval_times(split, value(*key, split, "time"))
    if with_times:
        made.reset_pseudo_train_times(value(*key, "train", "time"))
    return made


def results(architecture, schedule):
    """The saved state of one ``ArchResults``."""
    from nas_201_api import ArchResults

    made = ArchResults(7, str(architecture))
    for dataset, seeds in SEEDS.items():
        for seed in seeds:
            made.update(
                dataset, seed, trial(architecture, schedule, dataset, seed, with_times=schedule == "full")
            )
    return made.state_dict()


def with_weights(state):
    """The state with trained weights and their attribute, as ``state_dict`` of a module gives them."""
    import torch

    for saved in state["all_results"].values():
        weights = torch.nn.BatchNorm2d(3).state_dict()
        saved["net_state_dict"] = weights
    return state


def content():
    return {
        "meta_archs": [str(a) for a in ARCHITECTURES],
        "total_archs": len(ARCHITECTURES),
        "arch2infos": {
            number: {schedule: with_weights(results(a, schedule)) for schedule in EPOCHS}
            for number, a in enumerate(ARCHITECTURES)
        },
        "evaluated_indexes": set(range(len(ARCHITECTURES))),
    }


@pytest.fixture(scope="module", params=["of before PyTorch 1.6", "of today"])
def nas_bench_201(request, tmp_path_factory):
    """A file in each of PyTorch's two formats, converted; the published ones are from before 1.6."""
    import torch

    folder = tmp_path_factory.mktemp("nas_bench_201")
    source = folder / "NAS-Bench-201-small.pth"
    torch.save(content(), source, _use_new_zipfile_serialization=request.param == "of today")
    build(IMPORTERS, "nas_bench_201").convert(source, folder / "table.parquet")
    return Table.open(folder / "table.parquet")


def test_every_trial_of_every_dataset_seed_and_schedule_is_there(nas_bench_201):
    assert {(part.dataset, part.schedule): part.seeds for part in nas_bench_201.parts} == {
        (NAMES[dataset], epochs): seeds for dataset, seeds in SEEDS.items() for epochs in EPOCHS.values()
    }
    assert all(
        part.n_runs == len(part.seeds) * len(ARCHITECTURES)
        and part.epochs == tuple(range(1, part.schedule + 1))
        for part in nas_bench_201.parts
    )


@pytest.mark.parametrize("schedule", EPOCHS)
@pytest.mark.parametrize("dataset", SEEDS)
def test_training_curves_are_those_of_the_trial(nas_bench_201, dataset, schedule):
    for place, architecture in enumerate(ARCHITECTURES):
        for number, seed in enumerate(SEEDS[dataset]):
            for metric, what in (("train_loss", "loss"), ("train_accuracy_pct", "accuracy")):
                curves = nas_bench_201.curves(
                    metric, ARCHITECTURES, dataset=NAMES[dataset], schedule=EPOCHS[schedule]
                )
                key = (str(architecture), schedule, dataset, seed, "train", what)
                expected = [value(*key, epoch) for epoch in range(EPOCHS[schedule])]
                np.testing.assert_allclose(curves[place, number], expected, rtol=1e-6)


@pytest.mark.parametrize("schedule", EPOCHS)
@pytest.mark.parametrize(
    ("dataset", "split", "metric"),
    [
        ("cifar10-valid", "x-valid", "valid"),
        ("cifar10-valid", "ori-test", "test"),
        ("cifar10", "ori-test", "test"),
        ("cifar100", "x-valid", "valid"),
        ("cifar100", "x-test", "test"),
        ("cifar100", "ori-test", "valtest"),
        ("ImageNet16-120", "x-test", "test"),
    ],
)
def test_each_split_of_the_benchmark_has_its_metric(nas_bench_201, dataset, split, metric, schedule):
    last = EPOCHS[schedule] - 1
    for architecture in ARCHITECTURES:
        for seed in SEEDS[dataset]:
            key = (str(architecture), schedule, dataset, seed, split)
            ask = {"dataset": NAMES[dataset], "schedule": EPOCHS[schedule], "seed": seed}
            accuracy = nas_bench_201.query(f"{metric}_accuracy_pct", architecture, **ask)
            assert accuracy == value(*key, "accuracy", last)
            loss = nas_bench_201.query(f"{metric}_loss", architecture, **ask)
            assert loss == pytest.approx(value(*key, "loss", last), rel=1e-6)


def test_the_packages_own_api_gives_the_same_numbers(nas_bench_201):
    from nas_201_api import NASBench201API

    api = NASBench201API(content(), verbose=False)
    for number, architecture in enumerate(ARCHITECTURES):
        for dataset, seeds in SEEDS.items():
            for (schedule, epochs), seed in product({"12": 2, "200": 4}.items(), seeds):
                info = api.get_more_info(number, dataset, hp=schedule, is_random=seed)
                ask = {"dataset": NAMES[dataset], "schedule": epochs, "seed": seed}
                for split in ("train", "valid", "test", "valtest"):
                    if f"{split}-accuracy" in info:
                        found = nas_bench_201.query(f"{split}_accuracy_pct", architecture, **ask)
                        assert found == info[f"{split}-accuracy"]


def test_a_split_that_was_tested_at_the_end_only_is_known_at_the_end_only(nas_bench_201):
    assert nas_bench_201.part("cifar100", 2).known["test_accuracy_pct"] == (2,)
    assert nas_bench_201.part("cifar100", 4).known["test_accuracy_pct"] == (1, 2, 3, 4)
    assert "valid_accuracy_pct" not in nas_bench_201.part("cifar10", 4).known


def test_seconds_of_an_epoch_are_those_of_its_training_where_they_were_measured(nas_bench_201):
    architecture = ARCHITECTURES[2]
    key = (str(architecture), "full", "cifar100", 888)
    ask = {"dataset": "cifar100", "schedule": 4, "seed": 888, "epoch": 2}
    assert nas_bench_201.query("cost_s", architecture, **ask) == pytest.approx(value(*key, "train", "time"))
    valid_s = nas_bench_201.query("valid_s", architecture, **ask)
    assert valid_s == pytest.approx(value(*key, "x-valid", "time"))
    assert "cost_s" not in nas_bench_201.part("cifar100", 2).known


def test_where_trials_differ_in_parameters_seed_888_is_believed(nas_bench_201):
    # Seed 777 of the fixture has a million too many, the fault that NATS-Bench corrects likewise.
    for architecture in ARCHITECTURES:
        parameters = nas_bench_201.query("parameters_m", architecture, dataset="cifar100", schedule=4)
        assert parameters == value(str(architecture), "cifar100", "parameters")


def test_architectures_are_let_go_as_soon_as_they_are_converted():
    from raynas.benchmarks.importer.nas_bench_201 import _results

    infos = {number: {"less": results(a, "less")} for number, a in enumerate(ARCHITECTURES)}
    told = []
    for taken, _ in enumerate(_results(infos, lambda *done: told.append(done)), start=1):
        assert len(infos) == len(ARCHITECTURES) - taken
    assert told == [(done, 5) for done in range(1, 6)]


def test_gathering_few_at_a_time_gives_the_same_runs():
    def gathered(at_a_time):
        made = (_trials.create(results(a, "less")) for a in ARCHITECTURES)
        found = {}
        for runs in _trials.gather(SPACE, made, at_a_time=at_a_time):
            for place, index in enumerate(runs.indices.tolist()):
                for name, values in runs.metrics.items():
                    found[runs.dataset, runs.seed, index, name] = values[place].tolist()
        return found

    assert repr(sorted(gathered(2).items())) == repr(sorted(gathered(100).items()))


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("harmful",)


def test_nothing_that_a_pickle_names_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = io.BytesIO(pickle.dumps({"a": Malicious(), "b": [1, "two", 3.0]}))
    assert _pickled.load(file)["b"] == [1, "two", 3.0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_numbers_and_containers_of_a_pickle_are_read(protocol):
    original = OrderedDict(a=np.float64(1.5), b=(np.float32(0.25), np.int64(-3)), c={1: [True, None]})
    assert _pickled.load(io.BytesIO(pickle.dumps(original, protocol))) == {
        "a": 1.5,
        "b": (0.25, -3),
        "c": {1: [True, None]},
    }


@pytest.mark.parametrize(
    "saved", [b"", b"PK\x03\x04broken", b"\x80\x02.", b"garbage" * 99, pickle.dumps([1])]
)
def test_a_file_that_is_not_of_nas_bench_201_is_refused(tmp_path, saved):
    (tmp_path / "x.pth").write_bytes(saved)
    with pytest.raises(InputError, match=r"x\.pth: "):
        build(IMPORTERS, "nas_bench_201").convert(tmp_path / "x.pth", tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


def test_weights_of_a_network_are_not_a_file_of_nas_bench_201(tmp_path):
    import torch

    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "x.pth")
    with pytest.raises(InputError, match="not a file of NAS-Bench-201, which holds 'arch2infos'"):
        build(IMPORTERS, "nas_bench_201").convert(tmp_path / "x.pth", tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["nas_bench_201", "nats_bench"])
def test_a_missing_source_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="nowhere: "):
        build(IMPORTERS, name).convert(tmp_path / "nowhere", tmp_path / "t.parquet")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A simple archive as NATS-Bench's package writes them: a bz2 pickle an architecture."""
    folder = tmp_path_factory.mktemp("NATS-tss-small-simple")
    for number, architecture in enumerate(ARCHITECTURES):
        saved = {"12": results(architecture, "less"), "200": results(architecture, "full")}
        with bz2.open(folder / f"{number:06d}.pickle.pbz2", "wb") as file:
            pickle.dump(saved, file, protocol=4)
    with bz2.open(folder / "meta.pickle.pbz2", "wb") as file:
        pickle.dump({"meta_archs": [str(a) for a in ARCHITECTURES]}, file)
    return folder


def test_a_nats_bench_archive_gives_the_table_that_its_trials_give(archive, tmp_path, nas_bench_201):
    build(IMPORTERS, "nats_bench").convert(archive, tmp_path / "t.parquet")
    table = Table.open(tmp_path / "t.parquet")
    assert set(map(str, table.parts)) == set(map(str, nas_bench_201.parts))
    for part in table.parts:
        for metric in part.known:
            ask = {"dataset": part.dataset, "schedule": part.schedule}
            np.testing.assert_array_equal(
                table.curves(metric, ARCHITECTURES, **ask), nas_bench_201.curves(metric, ARCHITECTURES, **ask)
            )


def test_our_archive_is_one_that_nats_bench_itself_reads(archive):
    nats_bench = pytest.importorskip("nats_bench", reason="compares with the optional package nats_bench")
    api = nats_bench.create(str(archive), "tss", fast_mode=True, verbose=False)
    info = api.get_more_info(1, "cifar100", hp="12", is_random=888)
    key = (str(ARCHITECTURES[1]), "less", "cifar100", 888, "x-test", "accuracy", 1)
    assert info["test-accuracy"] == value(*key)


def test_a_damaged_file_of_an_archive_is_refused_by_its_name(archive, tmp_path):
    (tmp_path / "000000.pickle.pbz2").write_bytes((archive / "000000.pickle.pbz2").read_bytes()[:-50])
    with pytest.raises(InputError, match=r"000000\.pickle\.pbz2: cannot be read"):
        build(IMPORTERS, "nats_bench").convert(tmp_path, tmp_path / "t.parquet")


# Plain columns


@pytest.fixture
def wide():
    texts = [str(a) for a in ARCHITECTURES]
    return pd.DataFrame({"arch": texts, "v": np.linspace(0.5, 0.9, 5), "t": [80.0, 81.0, np.nan, 83.0, 84.0]})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_wide_table_becomes_one_dataset_a_prefix(tmp_path, wide, suffix):
    source = tmp_path / f"source{suffix}"
    wide.to_csv(source) if suffix == ".csv" else wide.to_parquet(source)
    metrics = {"a/valid_accuracy_pct": "v", "b/test_loss": "t"}
    importer = build(IMPORTERS, "columns", architecture="arch", metrics=metrics, schedule=12, factor=100)
    importer.convert(source, tmp_path / "t.parquet")
    table = Table.open(tmp_path / "t.parquet")
    found = table.query("valid_accuracy_pct", ARCHITECTURES, dataset="a", epoch=12)
    np.testing.assert_allclose(found, 100 * wide["v"])
    assert table.query("test_loss", ARCHITECTURES[0], dataset="b") == 80.0
    with pytest.raises(InputError, match="there is no test_loss at epoch 12"):
        table.query("test_loss", ARCHITECTURES[2], dataset="b")


def test_a_tidy_table_becomes_curves(tmp_path):
    rows = [
        {
            "index": SPACE.index(a),
            "data": data,
            "run": seed,
            "step": step,
            "acc": (i + seed + step) / 10,
            "n": i,
        }
        for i, a in enumerate(ARCHITECTURES)
        for data in ("x", "y")
        for seed in (3, 4)
        for step in (1, 5, 9)
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "s.csv", index=False)
    build(
        IMPORTERS,
        "columns",
        architecture="index",
        dataset="data",
        seed="run",
        epoch="step",
        metrics={"test_accuracy_pct": "acc", "flops_m": "n", "own": "acc"},
    ).convert(tmp_path / "s.csv", tmp_path / "t.parquet")
    table = Table.open(tmp_path / "t.parquet")
    assert [(part.dataset, part.schedule, part.epochs, part.seeds) for part in table.parts] == [
        ("x", 9, (1, 5, 9), (3, 4)),
        ("y", 9, (1, 5, 9), (3, 4)),
    ]
    curves = table.curves("test_accuracy_pct", ARCHITECTURES, dataset="y")
    expected = (np.arange(5)[:, None, None] + np.array([[3], [4]]) + np.array([1, 5, 9])) / 10
    np.testing.assert_allclose(curves, expected)
    np.testing.assert_allclose(table.curves("own", ARCHITECTURES, dataset="x"), expected)
    assert table.query("flops_m", ARCHITECTURES, dataset="x").tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"metrics": {}}, "must name a column"),
        ({"metrics": {"valid_loss": "v"}}, "must be 'dataset/metric'"),
        ({"dataset": "d"}, "must be 'metric', since dataset is a column"),
        ({"schedule": 0}, "schedule: 0 must be the number of epochs trained"),
        ({"factor": 0.0}, "factor: 0.0 must be greater than 0"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        build(
            IMPORTERS,
            "columns",
            **{"architecture": "arch", "metrics": {"a/valid_loss": "v"}, "schedule": 12, **options},
        )


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("arch", ["|none~0|"] * 5, "nas_bench_201: there are 1 nodes"),
        ("arch", [str(ARCHITECTURES[0])] * 5, "an architecture has two rows of one epoch"),
        ("v", ["high"] * 5, "column 'v' holds what is no number"),
        ("v", [101.0] * 5, "must be percent, from 0 to 100"),
    ],
)
def test_a_column_that_holds_something_else_is_refused(tmp_path, wide, column, values, reason):
    wide.assign(**{column: values}).to_csv(tmp_path / "s.csv")
    importer = build(
        IMPORTERS, "columns", architecture="arch", metrics={"a/valid_accuracy_pct": "v"}, schedule=12
    )
    with pytest.raises(InputError, match=reason) as refused:
        importer.convert(tmp_path / "s.csv", tmp_path / "t.parquet")
    assert str(refused.value).startswith(str(tmp_path / "s.csv"))


def test_an_absent_column_is_refused_with_those_that_there_are(tmp_path, wide):
    wide.to_csv(tmp_path / "s.csv", index=False)
    importer = build(IMPORTERS, "columns", architecture="arc", metrics={"a/valid_loss": "v"}, schedule=1)
    with pytest.raises(InputError, match=r"no column 'arc'; did you mean 'arch'\? There is: arch, v"):
        importer.convert(tmp_path / "s.csv", tmp_path / "t.parquet")


@pytest.mark.skipif(
    not REAL.is_file(), reason="needs the real 12-epoch table, named by RAYNAS_NAS_BENCH_201_12EP"
)
def test_the_real_12_epoch_table_of_nas_bench_201_is_imported(tmp_path):
    source = pd.read_parquet(REAL)
    columns = {
        f"{dataset}/{split}_accuracy_pct": column
        for column in source.columns
        if column.endswith("_accuracy")
        for dataset, split in [column.removesuffix("_accuracy").rsplit("_", 1)]
    }
    assert len(columns) == 6
    importer = build(IMPORTERS, "columns", architecture="arch_str", metrics=columns, schedule=12)
    importer.convert(REAL, tmp_path / "t.parquet")
    table = Table.open(tmp_path / "t.parquet")
    indices = np.array([SPACE.index(SPACE.parse(text)) for text in source["arch_str"]])
    for metric, column in columns.items():
        dataset, _, name = metric.partition("/")
        np.testing.assert_array_equal(table.query(name, indices, dataset=dataset), source[column])
    # methods-sampling.md section 0: the best test accuracy on CIFAR-10 of the 12-epoch schedule.
    assert table.query("test_accuracy_pct", dataset="cifar10").max() == pytest.approx(89.16, abs=0.005)


@pytest.mark.parametrize("name", available(IMPORTERS))
def test_every_importer_replaces_its_target_only_when_all_was_read(tmp_path, name):
    target = tmp_path / "t.parquet"
    target.write_text("before")
    options = {"architecture": "arch", "metrics": {"a/valid_loss": "v"}, "schedule": 1}
    importer = build(IMPORTERS, name, **(options if name == "columns" else {}))
    (tmp_path / "source").mkdir()
    with pytest.raises(InputError):
        importer.convert(tmp_path / "source", target)
    assert target.read_text() == "before"
