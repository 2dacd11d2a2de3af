"""What a run found, as files: whose architecture it is, what the files say, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count

import pytest
from pyarrow import fs

from raynas import answer, export, results, storage
from raynas.cli import main
from raynas.journal import FileJournal, SegmentJournal
from raynas.spaces import get_space
from raynas.storage import LocalFolder, RemoteFolder

METRIC = "valid_accuracy_pct"
HEADER = {"kind": "run", "version": 1, "name": "x", "space": "nas_bench_201", "metric": METRIC, "mode": "max"}
CELLS = [str(get_space("nas_bench_201").at(index)) for index in (7001, 8002, 9003, 10004)]
GENOTYPES = [str(get_space("darts").at(index)) for index in (10**9, 10**12, 10**15)]
CELL = ["--space", "nas_bench_201", "--architecture", CELLS[0]]
GENOTYPE = ["--space", "darts", "--architecture", GENOTYPES[0]]
FILES = sorted([export.JSON, export.PYTHON, export.DRAWING])


def proposal(number, architecture, **more):
    given = {"config": {}, "role": "candidate", "group": number, "reuses": None, **more}
    return {"kind": "proposal", "id": number, "architecture": architecture, **given}


def report(number, epoch, value, *, done=True, **more):
    told = {"metrics": {METRIC: value}, "cost_s": 1.0, "done": done, "time": 0.0, **more}
    return {"kind": "report", "id": number, "epoch": epoch, **told}


def score(number, value, n=1):
    return {"kind": "score", "id": number, "value": value, "n": n, "n_failed": 0}


def finished(number, architecture, value, **more):
    return [proposal(number, architecture, **more), report(number, 3, value), score(number, value)]


@pytest.fixture
def run(tmp_path):
    """Makes a run directory of the given facts; gives its path."""
    numbers = count()

    def made(*records, header=HEADER):
        folder = tmp_path / f"run{next(numbers)}"
        with FileJournal(folder) as book:
            book.append([header, *records])
        return str(folder)

    return made


@pytest.fixture
def sweep(run):
    """A sweep of differentiable searches: one ended, one under way, one that has not reported."""
    searches = [
        proposal(0, None, config={"seed": 0}),
        report(0, 1, 40.0, done=False, architecture=GENOTYPES[0]),
        report(0, 2, 50.0, architecture=GENOTYPES[1]),
        score(0, 50.0),
        proposal(1, None, config={"seed": 1}),
        report(1, 1, 60.0, done=False, architecture=GENOTYPES[2]),
        proposal(2, None, config={"seed": 2}),
    ]
    return run(*searches, header=HEADER | {"space": "darts"})


def exported(*arguments):
    assert main(["export", *arguments]) == 0
    out = storage.folder(arguments[arguments.index("--out") + 1])
    assert out.names() == FILES
    assert out.read(export.DRAWING).startswith(b"\x89PNG")
    source: dict[str, object] = {}
    exec(compile(out.read(export.PYTHON), export.PYTHON, "exec"), source)
    return json.loads(out.read(export.JSON)), source


# Whose architecture


def test_the_best_so_far_is_exported_beside_the_journal_with_where_it_comes_from(run, capsys):
    place = run(*finished(0, CELLS[0], 70.0), *finished(1, CELLS[1], 90.0), *finished(2, CELLS[2], 80.0))
    assert main(["export", place]) == 0
    out = capsys.readouterr().out
    assert "x: not ended; trial 1: score 90.0000" in out
    assert CELLS[1] in out
    told = json.loads(storage.folder(place).child("export").read(export.JSON))
    assert told["notation"] == CELLS[1]
    assert told["raynas"]
    assert told["origin"] == {
        "run": "x",
        "place": place,
        "ended": False,
        "metric": METRIC,
        "mode": "max",
        "trial": 1,
        "epoch": 3,
        "score": 90.0,
        "n_scored": 1,
        "value": 90.0,
        "settings": {},
        "derived": False,
    }


def test_the_least_is_best_where_less_is_better_and_the_earliest_of_equal_ones(run):
    records = [*finished(0, CELLS[0], 3.0), *finished(1, CELLS[1], 1.0), *finished(2, CELLS[2], 1.0)]
    place = storage.folder(run(*records, {"kind": "end"}, header=HEADER | {"mode": "min"}))
    found = answer.best(place)
    assert (found.origin.trial, found.origin.ended) == (1, True)


def test_a_trial_that_was_stopped_counts_only_while_none_has_come_to_its_end(run):
    stopped = [
        proposal(0, CELLS[0]),
        report(0, 1, 95.0, done=False),
        {"kind": "decision", "id": 0, "epoch": 1, "decision": "stop"},
        score(0, 95.0),
    ]
    assert answer.best(storage.folder(run(*stopped))).origin.trial == 0
    assert answer.best(storage.folder(run(*stopped, *finished(1, CELLS[1], 50.0)))).origin.trial == 1


def test_a_neighborhood_is_answered_by_its_reference_and_its_score(run):
    place = run(
        proposal(0, CELLS[0], role="reference", group=0),
        proposal(1, CELLS[1], role="neighbor", group=0),
        report(0, 3, 80.0),
        report(1, 3, 99.0),
        score(0, 89.5, n=2),
    )
    found = answer.best(storage.folder(place))
    assert str(found.architecture) == CELLS[0]
    assert (found.origin.score, found.origin.n_scored, found.origin.value) == (89.5, 2, 80.0)
    assert str(answer.of_trial(storage.folder(place), 1).architecture) == CELLS[1]


def test_a_proposal_that_reuses_an_outcome_answers_with_it(run):
    place = run(*finished(0, CELLS[0], 80.0), proposal(1, CELLS[0], reuses=0), score(1, 81.0))
    assert answer.best(storage.folder(place)).origin.trial == 1


def test_a_sweep_answers_with_what_its_best_trial_derived_and_says_which_that_is(sweep, tmp_path, capsys):
    told, source = exported(sweep, "--out", str(tmp_path / "out"))
    assert told["notation"] == str(source["GENOTYPE"]) == GENOTYPES[1]
    assert (told["origin"]["trial"], told["origin"]["derived"]) == (0, True)
    out = capsys.readouterr().out
    assert "trial 0: score 50.0000" in out
    assert "seed=0" in out


def test_a_search_under_way_is_exported_if_it_is_named(sweep):
    found = answer.of_trial(storage.folder(sweep), 1)
    assert str(found.architecture) == GENOTYPES[2]
    assert (found.origin.epoch, found.origin.score, found.origin.value) == (1, None, 60.0)


def test_a_named_architecture_comes_with_its_trial_if_it_has_one(run):
    place = storage.folder(run(*finished(0, CELLS[0], 70.0), *finished(1, CELLS[1], 90.0)))
    assert answer.of_architecture(place, CELLS[0]).origin.trial == 0
    found = answer.of_architecture(place, CELLS[3])
    assert (str(found.architecture), found.origin.trial, found.origin.run) == (CELLS[3], None, "x")


def test_a_simulated_run_is_exported_like_another(run, tmp_path):
    stopped = [proposal(2, CELLS[2]), report(2, 1, 99.0, done=False)]
    stopped += [{"kind": "decision", "id": 2, "epoch": 1, "decision": "stop"}, score(2, 99.0)]
    records = [HEADER, *finished(0, CELLS[0], 70.0), *finished(1, CELLS[1], 90.0), *stopped]
    about = results.Header("simulated", "nas_bench_201", METRIC, "max")
    place = LocalFolder(tmp_path / "simulated")
    place.write(results.FILE, results.parquet(results.frame(records), about))
    found = answer.best(place)
    assert (str(found.architecture), found.origin.trial, found.origin.ended) == (CELLS[1], 1, True)


def test_a_run_in_an_object_store_is_exported_into_it(tmp_path):
    place = RemoteFolder(fs.LocalFileSystem(), str(tmp_path / "run"), "store://run")
    SegmentJournal(place).append([HEADER, *finished(0, CELLS[0], 70.0)])
    found = answer.best(place)
    files = export.write(export.Export(found.architecture, found.origin), place.child("export"))
    assert files[0] == "store://run/export/architecture.json"
    assert place.child("export").names() == FILES


# What the files say


def test_the_files_of_a_cell_give_it_back(tmp_path):
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    given = ["--architecture", cell, "--space", "nas_bench_201", "--out", str(tmp_path / "out")]
    told, source = exported(*given)
    assert told["origin"] is None
    assert told["operations"] == {
        "1<-0": "nor_conv_3x3",
        "2<-0": "none",
        "2<-1": "skip_connect",
        "3<-0": "avg_pool_3x3",
        "3<-1": "nor_conv_1x1",
        "3<-2": "none",
    }
    assert source["GENOTYPE"] == told["notation"] == cell
    assert source["NETWORK"] == {"channels": 16, "in_channels": 3, "n_classes": 10, "cells": 5, "stages": 3}


def test_the_files_of_a_genotype_give_it_back(tmp_path):
    told, source = exported(*GENOTYPE, "--out", str(tmp_path / "out"))
    genotype = source["GENOTYPE"]
    assert genotype._fields == ("normal", "normal_concat", "reduce", "reduce_concat")
    pairs = {
        cell: [(name, int(edge.split("<-")[1])) for edge, name in told["operations"][cell].items()]
        for cell in ("normal", "reduce")
    }
    assert pairs == {"normal": genotype.normal, "reduce": genotype.reduce}
    assert told["network"]["layers"] == source["NETWORK"]["layers"] == 14
    assert "flops_m" not in told["network"]


def test_a_budget_sets_the_channels_of_the_network_that_the_module_builds(tmp_path, capsys):
    from raynas.supernets.cost import count_flops, count_parameters

    small = {"--stem": "cifar", "--layers": 3, "--image-size": 8, "--in-channels": 1, "--n-classes": 5}
    options = [str(word) for pair in small.items() for word in pair]
    told, source = exported(*GENOTYPE, "--flops-m", "2", *options, "--out", str(tmp_path / "out"))
    network = source["network"]()
    flops, wider = (
        count_flops(made, (1, 8, 8))
        for made in (network, source["network"](channels=source["NETWORK"]["channels"] + 1))
    )
    assert flops <= 2e6 < wider
    assert told["network"]["flops_m"] == flops / 1e6
    assert told["network"]["parameters_m"] == count_parameters(network) / 1e6
    assert told["network"]["budget_flops_m"] == 2
    assert f"{flops / 1e6:.2f} of 2 million multiply-adds" in capsys.readouterr().out


def test_given_channels_are_counted(tmp_path):
    told, _ = exported(*CELL, "--channels", "4", "--image-size", "8", "--out", str(tmp_path / "out"))
    assert told["network"]["channels"] == 4
    assert told["network"]["flops_m"] > 0


def test_a_run_with_a_strange_name_makes_a_module_all_the_same(run, tmp_path):
    name = 'a"""\\\nimport nothing'
    place = run(*finished(0, CELLS[0], 70.0), header=HEADER | {"name": name})
    told, source = exported(place, "--out", str(tmp_path / "out"))
    assert told["origin"]["run"] == name
    assert source["GENOTYPE"] == CELLS[0]


def test_no_torch_is_loaded_where_nothing_is_counted(tmp_path):
    code = (
        "import sys; from raynas.cli import main; "
        f"main(['export', '--space', 'nas_bench_201', '--architecture', {CELLS[0]!r}, '--out', 'out']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


# What is written over, and what is refused


def test_an_export_replaces_an_earlier_one_and_no_other_file(run, tmp_path, capsys):
    place, out = run(*finished(0, CELLS[0], 70.0), *finished(1, CELLS[1], 60.0)), tmp_path / "out"
    assert main(["export", place, "--out", str(out)]) == 0
    assert main(["export", place, "--out", str(out), "--trial", "1"]) == 0
    assert json.loads((out / export.JSON).read_text())["notation"] == CELLS[1]
    for content in ("{}", "[1]", "no json"):
        (out / export.JSON).write_text(content)
        capsys.readouterr()
        assert main(["export", place, "--out", str(out)]) == 2
        assert "not of an earlier export" in capsys.readouterr().err
        assert (out / export.JSON).read_text() == content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "not a run directory"),
        ([], "give RUN_DIR, or both"),
        (["--architecture", CELLS[0]], "give RUN_DIR, or both"),
        (["--space", "nas_bench_2", "--architecture", CELLS[0]], "did you mean 'nas_bench_201'"),
        (["--space", "nas_bench_201", "--architecture", "|x~0|"], "nas_bench_201: "),
        ([*CELL, "--flops-m", "0.00001"], "--flops-m: 1e-05 is below"),
        ([*CELL, "--flops-m", "-3"], "--flops-m: -3.0 is not positive"),
        ([*CELL, "--flops-m", "1e9"], "more than 256 channels"),
        ([*CELL, "--flops-m", "10", "--multiple-of", "0"], "--multiple-of: 0"),
        ([*CELL, "--multiple-of", "2"], "goes with --flops-m"),
        ([*CELL, "--layers", "14"], "--layers: networks of cells of kind 'nas_bench_201' have none"),
        ([*CELL, "--image-size", "0"], "--image-size: 0 is below 1"),
        ([*GENOTYPE, "--cells", "5"], "--cells: networks"),
        ([*GENOTYPE, "--layers", "2"], "--layers: 2 is below 3"),
        ([*GENOTYPE, "--channels", "1"], "--channels: 1 is below 2"),
    ],
)
def test_bad_input_ends_with_two_and_one_message_and_writes_nothing(
    capsys, arguments, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no trial has come to an architecture and a score"),
        (["--trial", "9"], "no result of trial 9; trials with results: 0 to 1"),
        (["--trial", "1"], "trial 1 has no architecture"),
        (["--architecture", "|x~0|"], "nas_bench_201: "),
        (["--space", "darts"], "--space: the run has its own"),
    ],
)
def test_a_run_that_has_no_such_answer_is_refused(capsys, arguments, message, run):
    place = run(proposal(0, CELLS[0]), report(0, 1, 50.0, done=False), proposal(1, None), report(1, 1, 5.0))
    assert main(["export", place, *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "advice"), [([], "wait, or name one"), ([{"kind": "end"}], "the run has ended without one")]
)
def test_who_asks_for_an_answer_is_told_whether_to_wait(capsys, run, end, advice):
    assert main(["export", run(proposal(0, CELLS[0]), report(0, 1, 50.0, done=False), *end)]) == 2
    assert advice in capsys.readouterr().err


def test_the_best_of_several_searches_is_said_to_be_that_unless_it_was_named(capsys, run):
    settings = {"config": {"workload.metric.gamma": 16}}
    place = run(*finished(0, CELLS[0], 70.0), *finished(1, CELLS[1], 90.0, **settings))
    assert main(["export", place]) == 0
    assert "the best of several searches" in capsys.readouterr().out
    assert main(["export", place, "--trial", "1"]) == 0
    assert "the best of several searches" not in capsys.readouterr().out


def test_a_run_that_has_just_begun_is_refused(capsys, run):
    for arguments in ([], ["--trial", "0"]):
        assert main(["export", run(proposal(0, CELLS[0])), *arguments]) == 2
        assert "no " in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert main(["export", *CELL, "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
