"""NOSH on Ray Tune: paused trials hold nothing; a pyramid outlives the deaths of driver and workers."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from drivers import Driven, lines

from raynas import journal
from raynas.config import load_text
from raynas.storage import LocalFolder
from raynas.tune import running

pytestmark = pytest.mark.ray

TEXT = """\
search_space: nas_bench_201
workload: {name: "toy:Instant", epochs: 8, epoch_s: 0.01}
searcher: random_search
scheduler: {name: nosh, levels: [1, 2, 4, 8], r: 0.5, n_first: 10, n_batch: 10, n_pool: 40}
report: {metric: valid_accuracy_pct}
"""


@pytest.fixture
def reference(two_cpus, tmp_path, content):
    """The uninterrupted run; what ran at once while many were paused; its frame."""
    seen = []

    def watch(record, run):
        if record["kind"] == "report":
            seen.append((len(run.paused), run.live))

    folder = LocalFolder(tmp_path / "whole")
    made = running.run(load_text(TEXT, source="x.yaml"), folder, name="whole", on_event=watch)
    return made, seen, content(folder), folder


def test_a_pyramid_survives_whatever_dies_and_paused_trials_hold_nothing(reference, tmp_path, content):
    made, seen, frame, whole = reference
    last = frame.drop_duplicates("proposal", keep="last")
    assert last["epoch"].value_counts().to_dict() == {1: 20, 2: 10, 4: 5, 8: 5}
    crowded = [live for paused, live in seen if paused >= 20]
    assert len(crowded) > 30
    assert max(crowded) <= 3, "two train, and one may just have been told to pause"
    assert not list(whole.path.rglob("state.pt")), "no checkpoint is kept of what will never go on"

    hit = Driven(tmp_path, TEXT.replace("epoch_s: 0.01", f'epoch_s: 0.01, kill_once: "{tmp_path}/killed"'))
    records, moments = [], random.Random(4)
    for _ in range(2):
        records = hit.kill(lines(len(records) + moments.randrange(20, 120)))
    output = hit.end()
    assert (tmp_path / "killed").exists(), "a worker died, too"
    pd.testing.assert_frame_equal(content(hit.folder), frame)
    assert str(made.best.architecture) in output
    records = journal.read(hit.folder)
    epochs = [(record["id"], record["epoch"]) for record in records if record["kind"] == "report"]
    assert len(epochs) == len(set(epochs))
    promotions = sorted(record["id"] for record in records if record["kind"] == "resume")
    again = sorted(record["id"] for record in journal.read(whole) if record["kind"] == "resume")
    assert sorted(set(promotions)) == sorted(set(again))
