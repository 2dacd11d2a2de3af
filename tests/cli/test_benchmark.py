"""``raynas benchmark``: tables are described, made of runs and of other files, and taken apart."""

from __future__ import annotations

import contextlib
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from raynas import journal, results
from raynas.benchmarks import About, Runs, Table, classes, embedded, write
from raynas.cli import main
from raynas.cli.progress import _n_evaluations
from raynas.config import load_text, to_yaml
from raynas.journal import FileJournal
from raynas.search.asktell import SearchContext
from raynas.search.run import Run
from raynas.search.searcher.distinct import Distinct
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.random_search import RandomSearch
from raynas.spaces import get_space
from raynas.storage import LocalFolder

SPACE = get_space("nas_bench_201")

CONFIG = """\
search_space: nas_bench_201
dataset: digits
workload: {name: train_canonical_cell, seeds: [0, 5], epochs: 2, channels: 4, batch_size: 100}
searcher: {name: distinct, n_proposals: 3}
report: {metric: valid_loss, mode: min}
tune: {checkpoint_every: 0}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table of two seeds of 30 forms on digits, and of one seed of 5 of them on another dataset."""
    path = tmp_path_factory.mktemp("tables") / "made.parquet"
    class_of, _ = classes(SPACE)
    firsts = np.unique(class_of, return_index=True)[1]
    trained = np.sort(np.random.default_rng(0).choice(firsts, 30, replace=False))
    rng = np.random.default_rng(1)

    def runs():
        for seed in (0, 1):
            accuracies = rng.uniform(10, 95, (30, 2))
            metrics = {"valid_accuracy_pct": accuracies, "valid_loss": rng.uniform(0, 2, (30, 2))}
            yield Runs("digits", 2, seed, (1, 2), trained, metrics)
        yield Runs("cifar10", 9, 0, (9,), trained[:5], {"test_accuracy_pct": np.full((5, 1), 50.0)})

    trained_as = np.where(np.isin(firsts, trained), firsts, -1)[class_of]
    write(path, About("nas_bench_201", "a test", "nothing", {"lr": 0.1}), runs(), trained_as=trained_as)
    members = np.flatnonzero(trained_as >= 0)
    return SimpleNamespace(path=path, trained=trained, members=members, trained_as=trained_as)


def said(capsys):
    caught = capsys.readouterr()
    return caught.out, caught.err


# info


def test_info_says_what_is_in_a_table(capsys, made):
    assert main(["benchmark", "info", str(made.path)]) == 0
    out, _ = said(capsys)
    assert f"nas_bench_201, {len(made.members):,} architectures, 30 of them trained" in out
    assert "digits, schedule of 2 epochs: 60 runs, seeds 0 and 1, epochs 1 and 2" in out
    assert "cifar10, schedule of 9 epochs: 5 runs, seeds 0, epochs 9" in out
    assert "lr: 0.1" in out


def test_info_gives_percentiles_of_accuracies_and_how_far_seeds_agree(capsys, made):
    from scipy.stats import kendalltau

    main(["benchmark", "info", str(made.path)])
    out, _ = said(capsys)
    table = Table.open(made.path)
    means = table.query("valid_accuracy_pct", made.trained, dataset="digits")
    shown = "  ".join(f"{value:5.1f}" for value in np.percentile(means, (5, 25, 50, 75, 95, 100)))
    assert f"valid_accuracy_pct                 {shown}" in out
    assert "test_accuracy_pct                   50.0   50.0   50.0   50.0   50.0   50.0" in out
    losses = [table.query("valid_loss", made.trained, dataset="digits", seed=seed) for seed in (0, 1)]
    tau = kendalltau(*losses).statistic
    assert f"valid_loss                         {tau:5.2f}" in out
    assert "cifar10, schedule of 9 epochs: Kendall" not in out, "one seed agrees with no other"


def test_info_without_a_table_lists_those_that_travel_with_the_package(capsys):
    assert main(["benchmark", "info"]) == 0
    out, _ = said(capsys)
    for name in embedded():
        assert any(line.startswith(name) for line in out.splitlines())
    assert out


# export


def test_an_exported_frame_has_a_row_a_run_and_epoch(capsys, made, tmp_path):
    assert main(["benchmark", "export", str(made.path), "--out", f"{tmp_path}/a.csv"]) == 0
    frame = pd.read_csv(tmp_path / "a.csv")
    assert len(frame) == 2 * 30 * 2 + 5
    assert not frame.duplicated(["dataset", "schedule", "seed", "index", "epoch"]).any()
    digits = frame[(frame["dataset"] == "digits") & (frame["seed"] == 1) & (frame["epoch"] == 1)]
    expected = Table.open(made.path).query(
        "valid_accuracy_pct", made.trained, dataset="digits", seed=1, epoch=1
    )
    np.testing.assert_allclose(digits["valid_accuracy_pct"], expected)
    assert digits["architecture"].tolist() == [SPACE.format(SPACE.at(int(i))) for i in made.trained]
    assert "train_loss" not in frame, "nothing is known of it"
    assert f"{len(frame)} rows of 30 architectures" in said(capsys)[0]


def test_exported_members_are_the_whole_space_each_with_what_it_is_trained_as(made, tmp_path):
    out = tmp_path / "deep" / "a.parquet"
    arguments = ["--dataset", "digits", "--epoch", "2", "--members"]
    assert main(["benchmark", "export", str(made.path), "--out", str(out), *arguments]) == 0
    frame = pd.read_parquet(out)
    assert set(frame["dataset"]) == {"digits"}
    assert set(frame["epoch"]) == {2}
    assert "test_accuracy_pct" not in frame
    for seed, rows in frame.groupby("seed"):
        assert rows["index"].tolist() == made.members.tolist()
        assert rows["trained_as"].tolist() == made.trained_as[made.members].tolist()
        expected = Table.open(made.path).query("valid_loss", made.members, dataset="digits", seed=seed)
        np.testing.assert_array_equal(rows["valid_loss"], expected)
        assert rows["architecture"].tolist() == [SPACE.format(SPACE.at(int(i))) for i in rows["index"]]


# import


def write_plain(path):
    indices = [3, 77, 15_000]
    rows = [
        {"cell": str(SPACE.at(index)), "epoch": epoch, "accuracy": (index % 90 + epoch) / 100}
        for index in indices
        for epoch in (1, 2)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return indices


def test_a_plain_table_is_imported_by_its_columns(capsys, tmp_path):
    indices = write_plain(tmp_path / "plain.csv")
    options = [
        "architecture=cell",
        "metrics.digits/test_accuracy_pct=accuracy",
        "epoch=epoch",
        "factor=100.0",
    ]
    arguments = ["benchmark", "import", f"{tmp_path}/plain.csv", "--format", "columns"]
    arguments += ["--out", f"{tmp_path}/plain.parquet"]
    assert main(arguments + [part for option in options for part in ("-o", option)]) == 0
    out, err = said(capsys)
    assert "3 architectures" in out
    assert "warning" not in err
    found = Table.open(tmp_path / "plain.parquet").query("test_accuracy_pct", indices)
    np.testing.assert_allclose(found, [index % 90 + 2 for index in indices])


def test_importing_a_pickle_warns_of_it_and_shows_the_importer_s_reason(capsys, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(pickle.dumps({"not": "a benchmark"}))
    arguments = ["--format", "nas_bench_201", "--out", f"{tmp_path}/a.parquet"]
    assert main(["benchmark", "import", str(path), *arguments]) == 2
    out, err = said(capsys)
    assert f"{path} is unpickled now" in err
    assert f"{path}: cannot be read as a benchmark's file" in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "a.parquet").exists()


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "digit"], "no table 'digit'"),
        (["info", "nowhere/x.parquet"], "no such file"),
        (["export", "{table}", "--out", "a.txt"], "ends in .csv or .parquet"),
        (
            ["export", "{table}", "--out", "a.csv", "--dataset", "mnist"],
            "no dataset 'mnist'. There is: digits",
        ),
        (["export", "{table}", "--out", "a.csv", "--epoch", "5"], "nothing of epoch 5; there are 1, 2 and 9"),
        (["import", "a.csv", "--format", "columns", "--out", "a.parquet"], "architecture: is missing"),
        (
            ["import", "a.csv", "--format", "columns", "--out", "a.parquet", "-o", "colums=3"],
            "--format columns: colums: unknown key",
        ),
        (
            ["import", "a", "--format", "nats_bench", "--out", "a.parquet"],
            "a: holds no files such as 000000.pickle.pbz2",
        ),
        (
            ["import", "a", "--format", "nas_bench", "--out", "a.parquet"],
            "unknown importer 'nas_bench'; did you mean 'nats_bench'? Available: columns, nas_bench_201",
        ),
        (["import", "a", "--format", "nats_bench", "--out", "a.table"], "ends in .parquet"),
        (["build", "digits_benchmark", "--out", "digits"], "ends in .parquet"),
        (["build", "digits_benchmrk", "--out", "a.parquet"], "did you mean 'digits_benchmark'"),
        (["build", "digits_benchmark", "--out", "a.parquet", "-o", "dataset=null"], "dataset"),
        (["build", "digits_benchmark", "--out", "a.parquet", "--no-training"], "not a run directory"),
    ],
)
def test_bad_input_ends_with_two_and_one_message(capsys, arguments, message, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *(part.format(table=made.path) for part in arguments)]) == 2
    out, err = said(capsys)
    assert message in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_the_benchmark_verb_says_its_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["benchmark", "--help"])
    assert caught.value.code == 0
    out, _ = said(capsys)
    for command in ("info", "build", "import", "export"):
        assert f"\n    {command} " in out


# Time left


@pytest.mark.parametrize(
    ("searcher", "count"),
    [
        (Distinct(), 5_044),
        (Distinct(n_proposals=12), 12),
        (Distinct(n_proposals=9_999), 5_044),
        (RandomSearch(n_proposals=7), 7),
        (Neighborhood(base=RandomSearch(n_proposals=7), n_nbr=3), 21),
    ],
)
def test_a_searcher_s_evaluations_are_counted_beforehand(searcher, count):
    assert _n_evaluations(searcher, SPACE) == count


# build


def begin(experiment, folder, name):
    """Trains the first proposal of a run without Ray and leaves the run there, as a kill would."""
    from raynas.tune import running

    folder.write("config.yaml", to_yaml(experiment).encode())
    with FileJournal(folder.path) as book:
        book.append([running._header(experiment, name, here=True)])
        context = SearchContext(SPACE, experiment.report, experiment.seed)
        scheduler = experiment.scheduler.start(experiment.report)
        run = Run(experiment.searcher.start(context), scheduler, experiment.report, book)
        (item, _) = run.take(2)
        training = experiment.workload.start(experiment.trial(item.proposal))
        while not training.done:
            report = training.step()
            run.report(item.proposal.id, report, done=training.done)
    return book


@contextlib.contextmanager
def two_cpus():
    """A cluster of two CPUs, if there is none yet."""
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


def test_a_table_of_an_unfinished_run_is_a_part_and_trains_nothing(capsys, tmp_path):
    experiment = load_text(CONFIG, source="x.yaml")
    begin(experiment, LocalFolder(tmp_path / "half"), "half")
    before = (tmp_path / "half" / journal.FILE).read_bytes()
    arguments = ["--storage", str(tmp_path), "--out", f"{tmp_path}/half.parquet", "--no-training"]
    assert main(["benchmark", "build", "half", *arguments]) == 0
    assert "a part of the space only: 1 of 5,044 canonical forms" in said(capsys)[1]
    assert (tmp_path / "half" / journal.FILE).read_bytes() == before
    assert Table.open(tmp_path / "half.parquet").describe().n_trained == 1


def test_a_run_of_another_configuration_is_not_gone_on_with(capsys, tmp_path):
    experiment = load_text(CONFIG, source="x.yaml")
    begin(experiment, LocalFolder(tmp_path / "tiny"), "tiny")
    before = (tmp_path / "tiny" / journal.FILE).read_bytes()
    (tmp_path / "tiny.yaml").write_text(CONFIG.replace("[0, 5]", "[0, 6]"))
    arguments = ["--storage", str(tmp_path), "--out", f"{tmp_path}/tiny.parquet"]
    assert main(["benchmark", "build", f"{tmp_path}/tiny.yaml", *arguments]) == 2
    assert "holds a run of another configuration" in said(capsys)[1]
    assert (tmp_path / "tiny" / journal.FILE).read_bytes() == before


@pytest.mark.ray
def test_build_goes_on_where_it_was_interrupted_and_trains_nothing_twice(capsys, tmp_path):
    experiment = load_text(CONFIG, source="x.yaml")
    folder = LocalFolder(tmp_path / "runs" / "tiny")
    begin(experiment, folder, "tiny")
    begun = (folder.path / journal.FILE).read_bytes()
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    arguments = ["benchmark", "build", f"{tmp_path}/tiny.yaml", "--storage", f"{tmp_path}/runs", "--out"]

    with two_cpus():
        assert main([*arguments, f"{tmp_path}/first.parquet"]) == 0
    ended = (folder.path / journal.FILE).read_bytes()
    out, err = said(capsys)
    assert "going on" in out
    assert "a part of the space only: 3 of 5,044 canonical forms" in err
    assert ended.startswith(begun)
    records = journal.read(folder)
    ends = [record["id"] for record in records if record["kind"] == "report" and record["done"]]
    assert sorted(ends) == [0, 1, 2]

    assert main([*arguments, f"{tmp_path}/second.parquet"]) == 0  # no Ray is there, and none is started
    assert "has ended" in said(capsys)[0]
    assert (folder.path / journal.FILE).read_bytes() == ended
    assert (tmp_path / "second.parquet").read_bytes() == (tmp_path / "first.parquet").read_bytes()

    table = Table.open(tmp_path / "first.parquet")
    assert (table.part().seeds, table.part().epochs) == ((0, 5), (1, 2))
    frame = results.of_run(folder)
    last = frame[frame["epoch"] == 2].set_index("index")
    trained = last.index.to_numpy(dtype=np.int64)
    for seed in (0, 5):
        found = table.query("test_accuracy_pct", trained, seed=seed)
        np.testing.assert_array_equal(found, last[f"test_accuracy_pct.{seed}"].to_numpy())
    splits = table.about.constants["splits"]
    assert [splits[name]["images"] for name in ("train", "valid", "test")] == [600, 500, 697]
