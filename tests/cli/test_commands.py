"""What a user types, and what comes back: output, exit status, files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from raynas import assets, journal, results
from raynas.cli import main
from raynas.cli.progress import Progress
from raynas.config import load_text, to_yaml
from raynas.journal import FileJournal
from raynas.search.asktell import Report, SearchContext
from raynas.search.run import Run
from raynas.spaces import get_space
from raynas.storage import LocalFolder
from raynas.tune.running import digest

CONFIG = """\
search_space: nas_bench_201
workload: "toy:Instant"
searcher: {name: neighborhood, base: {name: random_search, n_proposals: 3}, n_nbr: 4}
report: {metric: valid_accuracy_pct}
"""


HEADER = {
    "kind": "run",
    "version": 1,
    "name": "x",
    "space": "nas_bench_201",
    "metric": "valid_accuracy_pct",
    "mode": "max",
}


@pytest.fixture
def half_done(tmp_path) -> LocalFolder:
    """A run directory whose run stopped in the middle."""
    return left_in_the_middle(LocalFolder(tmp_path / "half"), CONFIG)


def left_in_the_middle(folder: LocalFolder, config: str) -> LocalFolder:
    """Leaves a run there of which six trials of seven have ended."""
    experiment = load_text(config, source="x.yaml")
    folder.write("config.yaml", to_yaml(experiment).encode())
    with FileJournal(folder.path) as book:
        book.append([HEADER | {"name": "half", "digest": digest(experiment)}])
        scheduler = experiment.scheduler.start(experiment.report)
        run = Run(experiment.searcher.start(experiment.context()), scheduler, experiment.report, book)
        for item in run.take(7)[:6]:
            for epoch in (1, 2):
                report = Report({"valid_accuracy_pct": 10.0 * item.proposal.id + epoch}, epoch, 0.5)
                run.report(item.proposal.id, report, done=epoch == 2)
    return folder


def said(capsys) -> tuple[str, str]:
    caught = capsys.readouterr()
    return caught.out, caught.err


def test_list_names_every_kind_of_thing_with_a_line_on_each(capsys):
    assert main(["list"]) == 0
    out, _ = said(capsys)
    for name in (
        "na_rs_digits",
        "nas_bench_201",
        "neighborhood",
        "fifo",
        "variance",
        "digits",
        "train_architecture",
    ):
        line = next(line for line in out.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 4


def test_list_of_one_kind_names_no_other(capsys):
    assert main(["list", "aggregators"]) == 0
    out, _ = said(capsys)
    assert [line.split()[0] for line in out.splitlines()] == ["max", "mean", "median", "variance"]


def test_show_prints_the_resolved_configuration_as_yaml(capsys):
    assert main(["show", "na_rs_digits", "-o", "searcher.d=2", "-o", "seed=4"]) == 0
    shown = yaml.safe_load(said(capsys)[0])
    assert (shown["searcher"]["d"], shown["seed"], shown["scheduler"]) == (2, 4, {"name": "fifo"})


def test_validate_says_that_a_configuration_is_in_order(capsys):
    assert main(["validate", "smoke"]) == 0
    assert "in order" in said(capsys)[0]


def test_validate_prints_every_problem_and_ends_with_two(capsys, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(CONFIG.replace("n_nbr: 4", "n_nbr: four").replace("metric", "metrics"))
    assert main(["validate", str(path)]) == 2
    out, err = said(capsys)
    assert out == ""
    assert [line.startswith(f"{path}:") for line in err.splitlines()] == [True] * 3


def test_results_of_a_run_in_the_middle_rank_what_is_scored(capsys, half_done):
    assert main(["results", str(half_done.path)]) == 0
    out, _ = said(capsys)
    assert "half: not ended; 7 proposals" in out
    assert "17.000" in out  # mean of 2, 12, 22, 32 over the first neighborhood


def test_results_of_several_searches_in_one_run_name_the_best_of_each(capsys, tmp_path):
    config = CONFIG.replace("name: neighborhood", "name: for_each").replace(", n_nbr: 4", "")
    config += "sweep: {workload.fail: {grid: [0.5, 0.0]}}\n"
    folder = left_in_the_middle(LocalFolder(tmp_path / "each"), config)
    assert main(["results", str(folder.path)]) == 0
    each = said(capsys)[0].partition("best of each search:\n")[2].splitlines()
    assert each[0].split()[-2:] == ["workload.fail", "architecture"]
    # the searches take turns, and a later proposal has a higher value
    assert [line.split()[:2] for line in each[1:]] == [["4", "42.000"], ["5", "52.000"]]
    assert Progress(load_text(config, source="x.yaml"))._nominal == 2 * 3


def test_results_writes_the_whole_frame(half_done, tmp_path):
    assert (
        main(
            [
                "results",
                str(half_done.path),
                "--csv",
                f"{tmp_path}/a.csv",
                "--parquet",
                f"{tmp_path}/a.parquet",
            ]
        )
        == 0
    )
    frame = pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(frame, results.of_run(half_done))
    assert len(pd.read_csv(tmp_path / "a.csv")) == len(frame) == 12
    assert list(frame["proposal"]) == sorted(list(range(6)) * 2)
    assert frame["score"].notna().sum() == 2


@pytest.mark.parametrize(
    "line", ["{}", '{"kind":"report"}', '{"kind":"proposal","id":"a"}', '{"kind":"failure","id":99}']
)
def test_a_line_that_no_run_writes_is_refused(capsys, half_done, line):
    path = half_done.path / journal.FILE
    path.write_text(path.read_text() + line + "\n")
    for verb in ("results", "resume"):
        assert main([verb, str(half_done.path)]) == 2
        out, err = said(capsys)
        assert "no fact" in err
        assert "Traceback" not in out + err


def test_every_score_is_in_the_frame_also_of_references_that_were_trained_before():
    import numpy as np

    from raynas.journal import MemoryJournal
    from raynas.search.searcher.local_search import LocalSearch
    from raynas.search.searcher.neighborhood import Neighborhood

    space = get_space("nas_bench_201")
    objective = load_text(CONFIG, source="x").report
    values = np.random.default_rng(0).normal(size=space.size)
    searcher = Neighborhood(base=LocalSearch(n_proposals=40), n_nbr=10).start(
        SearchContext(space, objective, 0)
    )
    book = MemoryJournal()
    run = Run(searcher, load_text(CONFIG, source="x").scheduler.start(objective), objective, book)
    while taken := run.take(1):
        (item,) = taken
        report = Report({objective.metric: float(values[space.index(item.proposal.architecture)])}, 1)
        run.report(item.proposal.id, report, done=True)
    frame = results.frame([HEADER, *book.records])
    assert frame["score"].notna().sum() == 40
    assert frame["score"].max() == run.best.value
    assert len(frame) == run.counts.nominal
    assert (frame["status"] == "finished").sum() == run.counts.unique < run.counts.nominal
    best = frame.loc[frame["score"].idxmax()]
    assert best["architecture"] == str(run.best.architecture)


def test_an_index_beyond_64_bits_is_missing_and_the_rest_is_there(tmp_path):
    text = (assets.directory("search_spaces") / "darts_s5.yaml").read_text().replace("nodes: 4", "nodes: 5")
    (tmp_path / "deep.yaml").write_text(text)
    space = get_space(str(tmp_path / "deep.yaml"))
    architecture = space.at(space.size - 1)
    lines = [
        HEADER | {"space": str(tmp_path / "deep.yaml")},
        {
            "kind": "proposal",
            "id": 0,
            "architecture": str(architecture),
            "role": "candidate",
            "group": 0,
            "reuses": None,
        },
        {"kind": "report", "id": 0, "epoch": 1, "metrics": {}, "cost_s": 0.0, "done": True, "time": 0.0},
    ]
    frame = results.frame(lines)
    assert frame["index"].isna().all()
    assert frame["architecture"][0] == str(architecture)


def test_a_start_that_was_killed_before_the_run_began_leaves_its_name_free(capsys, tmp_path):
    from raynas.errors import InputError
    from raynas.tune.running import _refuse_taken

    folder = LocalFolder(tmp_path / "half")
    folder.write("config.yaml", b"seed: 1")
    FileJournal(folder.path).close()
    _refuse_taken(folder)
    folder.write("notes.txt", b"mine")
    with pytest.raises(InputError, match="is there already"):
        _refuse_taken(folder)


def test_a_place_that_cannot_be_written_is_refused(capsys, half_done, tmp_path):
    for option in ("--csv", "--parquet"):
        assert main(["results", str(half_done.path), option, f"{tmp_path}/nowhere/a"]) == 2
        assert "cannot be written" in said(capsys)[1]


def test_the_frame_has_every_declared_column_with_its_type_unit_and_meaning(half_done):
    import io

    import pyarrow.parquet as pq

    frame = results.of_run(half_done)
    for column in results.COLUMNS:
        assert str(frame[column.name].dtype).startswith(column.dtype), column
        assert column.meaning
    schema = pq.read_schema(io.BytesIO(results.parquet(frame)))
    assert schema.field("cost_s").metadata == {
        b"unit": b"seconds",
        b"meaning": b"time the epoch took in its trial",
    }


def test_the_frame_of_a_run_that_has_reported_nothing_is_empty_and_typed(tmp_path):
    frame = results.frame([HEADER])
    assert len(frame) == 0
    assert {column.name for column in results.COLUMNS} == set(frame.columns)
    results.parquet(frame)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "na_rs_digit"], "did you mean 'na_rs_digits'"),
        (["run", "nowhere/x.yaml"], "no such file"),
        (["run", "smoke", "-o", "searcher.n_nbr"], "write key.path=value"),
        (["run", "smoke", "-o", "searcher.n_nbr=26"], "exceeds the 25 architectures"),
        (["run", "smoke", "-o", "dataset={name: cifar10, root: /nowhere}"], "/nowhere"),
        (["run", "smoke", "--storage", "nowhere://x"], "cannot be used as storage"),
        (["run", "smoke", "-o", "searcher=no_such.module:Class"], "cannot reach 'no_such.module:Class'"),
        (["resume", "/nowhere"], "not a run directory"),
        (["results", "/nowhere"], "not a run directory"),
        (["show", "smoke", "-o", "seed={"], "not valid YAML"),
    ],
)
def test_bad_input_ends_with_two_and_one_message(capsys, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = said(capsys)
    assert message in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "runs").exists()


def test_a_run_directory_is_not_written_over(capsys, half_done):
    before = (half_done.path / journal.FILE).read_bytes()
    status = main(["run", "smoke", "--storage", str(half_done.path.parent), "--name", "half"])
    assert status == 2
    assert "is there already" in said(capsys)[1]
    assert (half_done.path / journal.FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ("seed: 0", "seed: 1"),
        ("n_proposals: 3", "n_proposals: 4"),
        ("mode: max", "mode: min"),
        ("batch: 1", "batch: 2"),
    ],
)
def test_a_changed_configuration_of_a_run_is_refused_and_its_journal_left_as_it_was(
    change, to, capsys, half_done
):
    half_done.write("config.yaml", half_done.read("config.yaml").replace(change.encode(), to.encode()))
    before = (half_done.path / journal.FILE).read_bytes()
    assert main(["resume", str(half_done.path)]) == 2
    assert "config.yaml was changed" in said(capsys)[1]
    assert (half_done.path / journal.FILE).read_bytes() == before


def test_an_unknown_verb_ends_with_two():
    with pytest.raises(SystemExit) as caught:
        main(["runn"])
    assert caught.value.code == 2


def test_an_unreachable_cluster_ends_with_two_and_one_message(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-m", "raynas.cli", "run", "smoke", "--address", "127.0.0.1:1", "--name", "x"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_help_names_every_verb():
    done = subprocess.run(
        [sys.executable, "-m", "raynas.cli", "--help"], capture_output=True, text=True, check=True
    )
    for verb in ("run", "resume", "results", "list", "show", "validate"):
        assert f"\n    {verb} " in done.stdout
