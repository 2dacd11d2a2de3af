"""Sweeps of differentiable searches on Ray Tune, whole and killed in the middle."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from drivers import Driven, lines

from raynas import journal
from raynas.storage import LocalFolder
from raynas.workloads import _checkpoint

pytestmark = pytest.mark.ray

TEXT = """\
search_space: nas_bench_201
dataset: digits
workload:
  name: differentiable_search
  skeleton: {name: nas_bench_201, channels: 4, cells: 1, stages: 2}
  max_batches: 2
method: {arch_gradient: a2m, epochs: 4, batch_size: 16}
sweep:
  method.arch_gradient.rho: {grid: [0.0, 0.1]}
  seed: {grid: [0, 1]}
report: {metric: valid_accuracy_pct}
tune: {keep_checkpoints: true}
"""


def alphas(folder: LocalFolder) -> dict[int, dict[str, torch.Tensor]]:
    """Of every trial, as its last checkpoint has them."""
    paths = {
        record["id"]: record["path"] for record in journal.read(folder) if record["kind"] == "checkpoint"
    }
    states = {key: _checkpoint.read(folder.path / path)["state"] for key, path in paths.items()}
    assert {state["epoch"] for state in states.values()} == {3}
    return {key: state["bilevel"]["arch"]["alpha"] for key, state in states.items()}


def test_a_sweep_killed_in_the_middle_ends_with_the_alphas_of_a_whole_one(run, content, tmp_path):
    whole, reference = run(text=TEXT, name="whole")
    hit = Driven(tmp_path, TEXT)
    killed = hit.kill(lines(9))  # the first trials are under way
    assert not any(record["kind"] == "end" for record in killed)
    hit.end()
    found = hit.folder
    drop = ["peak_memory_mb"]
    pd.testing.assert_frame_equal(content(reference).drop(columns=drop), content(found).drop(columns=drop))
    expected, ended = alphas(reference), alphas(found)
    assert expected.keys() == ended.keys() == {0, 1, 2, 3}
    for key, parameters in expected.items():
        for name, tensor in parameters.items():
            assert torch.equal(tensor, ended[key][name])
    frame = content(found)
    last = frame.drop_duplicates("proposal", keep="last")
    assert last["method.arch_gradient.rho"].tolist() == [0.0, 0.0, 0.1, 0.1]
    assert last["seed"].tolist() == [0, 1, 0, 1]
    assert last["derived"].notna().all()
    assert last["score"].max() == whole.best.value


def test_asynchronous_halving_stops_searches_of_a_sweep(run, content):
    made, folder = run("scheduler={name: asha, eta: 2, variant: stopping}", text=TEXT)
    frame = content(folder)
    lengths = frame.groupby("proposal")["epoch"].max()
    assert made.counts.finished == 4
    assert lengths.min() < 4 <= lengths.max()
