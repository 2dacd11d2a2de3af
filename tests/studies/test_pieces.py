"""Studies that are interrupted go on with what was done."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import pandas as pd
import pytest

from raynas.cli import main
from raynas.errors import InputError
from raynas.studies import _differentiable_searches as searches
from raynas.studies._differentiable_presets import read
from raynas.studies._differentiable_searches import Task, search_all
from raynas.studies._pieces import Pieces
from raynas.studies._workers import finished
from raynas.studies.differentiable import Differentiable

TINY = {
    "methods": ("darts_nb201",),
    "seeds": 3,
    "epochs": 1,
    "batch_size": 8,
    "channels": 4,
    "max_batches": 1,
    "random_cells": 5,
}


@dataclass(frozen=True)
class Square:
    of: int


@dataclass(frozen=True)
class Squared:
    number: int
    trail: list


def square(task):
    return Squared(task.of**2, [float("nan"), 0.1 + 0.2])


@pytest.fixture
def pieces(tmp_path):
    return Pieces(tmp_path / "kept")


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


def done(tasks, pieces, processes=1):
    with finished(square, tasks, processes=processes, pieces=pieces) as found:
        return sorted(one.number for one in found)


def split(pieces, tasks):
    found, left = pieces.split(tasks, Squared)
    assert all(one.trail[1] == 0.1 + 0.2 for one in found)
    return [one.number for one in found], left


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_done_is_there_and_the_rest_is_not(pieces, processes):
    assert done([Square(2), Square(3)], pieces, processes) == [4, 9]
    assert split(pieces, [Square(1), Square(3), Square(2)]) == ([9, 4], [Square(1)])


WITH_WORKERS = """
import time
from raynas.studies._workers import finished
with finished(time.sleep, [0, 600, 600], processes=2) as done:
    next(done)
    print("begun", flush=True)
    next(done)
"""


def test_workers_end_with_a_study_that_is_killed():
    command = [sys.executable, "-c", WITH_WORKERS]
    study = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert study.stdout.readline() == "begun\n"
        study.kill()
        # the workers have its output, too, which ends when all who have it are gone
        assert study.communicate(timeout=60) == ("", None)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)


def test_a_piece_that_was_cut_off_is_done_again(pieces, tmp_path):
    done([Square(2), Square(3)], pieces)
    one, other = sorted((tmp_path / "kept").iterdir())
    one.write_bytes(one.read_bytes()[:-2])
    other.write_bytes(b"")
    assert split(pieces, [Square(2), Square(3)]) == ([], [Square(2), Square(3)])


def test_without_a_place_nothing_is_kept(tmp_path):
    nothing = Pieces()
    assert done([Square(2)], nothing) == [4]
    assert split(nothing, [Square(2)]) == ([], [Square(2)])
    nothing.clear()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/kept: cannot be written: .*; give another place by --out"):
        done([Square(2)], Pieces(tmp_path / "file" / "kept"))


def test_searches_are_known_by_all_that_they_hang_on(table, pieces):
    preset, *_ = read(Differentiable(**TINY), table.about.space)
    task = Task(preset.name, preset.experiment)
    pieces.keep(task, Squared(4, [0, 0.1 + 0.2]))
    again, *_ = read(Differentiable(**TINY), table.about.space)
    assert split(pieces, [Task(again.name, again.experiment)]) == ([4], [])
    options = {"epochs": 2, "batch_size": 4, "alpha_lr": 0.1, "channels": 2}
    for name, value in options.items():
        other, *_ = read(Differentiable(**{**TINY, name: value}), table.about.space)
        assert split(pieces, [Task(other.name, other.experiment)])[0] == [], name
    assert split(pieces, [Task(preset.name, dataclasses.replace(preset.experiment, seed=9))])[0] == []


def test_a_study_that_was_interrupted_takes_up_what_was_done(table, tmp_path, monkeypatch, capsys):
    out = tmp_path / "report"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if name != "methods"]
    command = ["study", "differentiable", f"--table={table.path}", f"--out={out}", "--methods", "darts_nb201"]
    whole, taken = searches.search, []

    def interrupted(task):
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(task.experiment.seed)
        return whole(task)

    monkeypatch.setattr(searches, "search", interrupted)
    assert main([*command, *options]) == 130
    assert "the same command goes on with it" in capsys.readouterr().err
    assert not out.exists()
    taken.clear()
    assert main([*command, *options]) == 0
    assert taken == [2]
    assert "2 of 3 searches are there from before" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["report"], "what was kept is gone"
    monkeypatch.setattr(searches, "search", whole)
    preset, *_ = read(Differentiable(**TINY), table.about.space)
    due = search_all([preset], range(3), processes=1, progress=lambda what: None)
    shown = pd.read_parquet(out / "searches.parquet").sort_values("seed")["architecture"]
    assert shown.tolist() == [one.trail[one.answer] for one in due]
