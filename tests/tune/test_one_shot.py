"""Runs that begin with a trial that makes what all others need, and what workloads leave behind."""

from __future__ import annotations

import contextlib
import pickle

import pandas as pd
import pytest
from drivers import Driven, lines
from pyarrow import fs
from ray.tune.result import DONE

from raynas import journal
from raynas.cli import outcome
from raynas.config import load_text, override, to_yaml
from raynas.config.stored import CONFIG, experiment_of
from raynas.data.dataset.digits import Digits
from raynas.errors import InputError
from raynas.search.standing import Assignment
from raynas.storage import LocalFolder, RemoteFolder
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.trial import Trial
from raynas.tune import running, trainable
from raynas.workloads.train_supernet import TrainSupernet

pytestmark = pytest.mark.ray

TWO_STAGES = """\
search_space: nas_bench_201
workload: {name: "toy_stages:Using", training: {epochs: 4}}
searcher: {name: regularized_evolution, n_proposals: 12, population_size: 4, sample_size: 2, parallelism: 2}
batch: 4
report: {metric: valid_accuracy_pct}
"""


def test_a_run_of_two_stages_is_the_two_runs_one_after_the_other(run, content):
    both, folder = run(text=TWO_STAGES, name="both")
    assert (folder.path / "artifacts" / "0" / "number").read_text() == "4"
    making = """\
search_space: nas_bench_201
workload: {name: "toy_stages:Making", epochs: 4}
report: {metric: train_loss, mode: min}
"""
    _, made = run(text=making, name="made")
    assert (made.path / "artifacts" / "0" / "number").read_text() == "4"
    given = f"supernet={made.path}/artifacts/0"
    second, searched = run("workload.training=null", given, text=TWO_STAGES, name="searched")
    assert (both.best.value, both.best.architecture) == (second.best.value, second.best.architecture)
    assert (both.counts, both.counts.nominal) == (second.counts, 12)
    ours, theirs = content(folder), content(searched)
    assert ours["role"].tolist() == ["supernet"] * 4 + ["candidate"] * len(theirs)
    candidates = ours.iloc[4:].dropna(axis="columns", how="all")
    theirs = theirs.dropna(axis="columns", how="all")
    assert candidates["architecture"].tolist() == theirs["architecture"].tolist()
    assert candidates["score"].tolist() == theirs["score"].tolist()


def test_what_was_made_lies_in_the_runs_folder_a_store_too_before_the_end_is_told(tmp_path, monkeypatch):
    store = RemoteFolder(fs.LocalFileSystem(), str(tmp_path / "run"), "store://run")
    monkeypatch.setattr(trainable, "folder", {"store://run": store}.__getitem__)
    experiment = load_text(TWO_STAGES, source="x.yaml")
    worker = object.__new__(trainable.Evaluation)
    assignments = pickle.dumps([Assignment(experiment.search().ask())])
    worker.setup({trainable.ASSIGNMENTS: assignments}, trainable.Setting.of(experiment, store.uri))
    made = []
    for _ in range(4):
        assert not store.child("artifacts").names()
        made.append(worker.step())
    assert [result[DONE] for result in made] == [False] * 3 + [True]
    assert store.child("artifacts").child("0").read("number") == b"4"


DIGITS = """\
search_space: nas_bench_201
dataset: digits
workload:
  name: score_subnet
  training: {skeleton: {name: nas_bench_201, channels: 4, cells: 1, stages: 1}, epochs: 20}
  metric: {name: combined, gamma: 2}
searcher:
  name: evolution_oneshot
  population_size: 8
  top_k: 3
  generations: 3
  n_mutation: 3
  n_crossover: 2
report: {metric: subnet_score}
"""


@pytest.mark.parametrize("kill_at", [9, 60], ids=["while it trains", "while it searches"])
def test_a_run_of_two_stages_killed_in_either_ends_as_an_uninterrupted_one(run, content, tmp_path, kill_at):
    whole, reference = run(text=DIGITS, name="whole")
    hit = Driven(tmp_path, DIGITS)
    killed = hit.kill(lines(kill_at))
    stages = {record["id"] for record in killed if record["kind"] == "proposal"}
    assert (stages == {0}) == (kill_at == 9)
    assert not any(record["kind"] == "end" for record in killed)
    assert str(whole.best.architecture) in hit.end()
    expected, found = (content(place).drop(columns="peak_memory_mb") for place in (reference, hit.folder))
    pd.testing.assert_frame_equal(expected, found)
    records = journal.read(hit.folder)
    ends = [record["id"] for record in records if record["kind"] == "report" and record["done"]]
    assert sorted(ends) == list(range(25))
    made = {path.name for path in (hit.folder.path / "artifacts" / "0").iterdir()}
    assert made == {"about.json", "weights.pt"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fails=true", "RuntimeError: out of numbers"),
        ("unwritable=true", "artifacts/0/no/such/folder: cannot be written"),
    ],
)
def test_where_the_first_trial_fails_the_run_ends_in_order_and_says_why(run, capsys, fault, reason):
    made, folder = run(f"workload.training.{fault}", text=TWO_STAGES)
    assert outcome.report(made, experiment_of(folder, here=True), folder, 1.0) == 1
    said = capsys.readouterr().err
    assert "no trial succeeded" in said
    assert reason in said
    kinds = [record["kind"] for record in journal.read(folder)]
    assert kinds.count("proposal") == 1
    assert kinds[-1] == "end"


def test_a_run_goes_on_with_no_other_supernet_than_the_one_it_began_with(two_cpus, tmp_path):
    def train(seed):
        settings = TrainSupernet(NasBench201(channels=4, cells=1, stages=1), epochs=1, max_batches=1)
        training = settings.start(Trial("nas_bench_201", None, dataset=Digits(), seed=seed))
        training.step()
        for name, content in training.artifacts().items():
            LocalFolder(tmp_path / "supernet").write(name, content)

    train(0)
    given = ["workload.training=null", f"supernet={tmp_path}/supernet", "searcher.generations=1"]
    experiment = load_text(DIGITS, source="x.yaml", overrides=[override(item) for item in given])
    folder = LocalFolder(tmp_path / "run")
    folder.write(CONFIG, to_yaml(experiment).encode())
    with contextlib.closing(journal.open_for_append(folder)) as book:
        book.append([running._header(experiment, "run", here=True)])
    train(1)
    with pytest.raises(InputError, match=r"supernet: holds another supernet than when the run began.*; put"):
        running.resume(folder)
    train(0)
    assert running.resume(folder).best is not None
