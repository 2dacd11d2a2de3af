"""Runs whose driver is killed, with Ray and all its workers, at several moments."""

from __future__ import annotations

import signal

import pandas as pd
import pytest
from drivers import Driven, lines, start

from raynas import journal, results
from raynas.config import load_text, to_yaml
from raynas.storage import LocalFolder
from raynas.tune import running

pytestmark = pytest.mark.ray

TEXT = """\
search_space: nas_bench_201
dataset: digits
workload: {name: train_architecture, epochs: 5, batch_size: 64, channels: 4, cells: 1, stages: 1}
searcher: {name: neighborhood, base: {name: regularized_evolution, n_proposals: 4, parallelism: 2}, n_nbr: 3}
report: {metric: valid_accuracy_pct}
"""

SLOW = """\
search_space: nas_bench_201
workload: {{name: "toy:Instant", epochs: {epochs}, epoch_s: {epoch_s}}}
searcher: {{name: random_search, n_proposals: {n}}}
report: {{metric: valid_accuracy_pct}}
"""


def finished(records: list[dict]) -> dict[int, float]:
    return {
        record["id"]: record["metrics"]["valid_accuracy_pct"]
        for record in records
        if record["kind"] == "report" and record["done"]
    }


def test_a_run_killed_again_and_again_ends_as_an_uninterrupted_one(run, content, tmp_path):
    whole, reference = run(text=TEXT, name="whole")
    hit = Driven(tmp_path, TEXT)
    records, done = [], {}
    for kill_after in (3, 14, 40):
        records = hit.kill(lines(len(records) + kill_after))
        assert done.items() <= finished(records).items()
        done = finished(records)
        results.of_run(hit.folder)  # readable at any time
    assert str(whole.best.architecture) in hit.end()

    pd.testing.assert_frame_equal(content(reference), content(hit.folder))
    records = journal.read(hit.folder)
    ends = [record["id"] for record in records if record["kind"] == "report" and record["done"]]
    assert len(ends) == len(set(ends)) == whole.counts.unique
    proposals = [record for record in records if record["kind"] == "proposal"]
    assert [record["id"] for record in proposals] == list(range(whole.counts.nominal))
    epochs = [(record["id"], record["epoch"]) for record in records if record["kind"] == "report"]
    assert len(epochs) == len(set(epochs))
    scores = [record["id"] for record in records if record["kind"] == "score"]
    assert len(scores) == len(set(scores)) == 4


def test_an_unfinished_trial_goes_on_from_its_last_checkpoint(tmp_path):
    slow = Driven(tmp_path, SLOW.format(epochs=12, epoch_s=0.25, n=1))
    before = slow.kill(lines(3 + 2 * 6))
    saved = max(record["epoch"] for record in before if record["kind"] == "checkpoint")
    slow.end()
    after = journal.read(slow.folder)[len(before) :]
    pids = {record["metrics"]["pid"] for record in after if record["kind"] == "report"}
    trained = [record["epoch"] for record in after if record["kind"] == "report"]
    assert saved >= 5
    assert len(pids) == 1
    # epochs up to the checkpoint are not trained again, so they cannot be checkpointed again
    assert min(record["epoch"] for record in after if record["kind"] == "checkpoint") > saved
    assert trained[-1] == 12
    assert not list(slow.folder.path.rglob("state.pt"))


def test_a_second_driver_of_a_run_is_refused(tmp_path):
    folder = LocalFolder(tmp_path / "held")
    text = (
        "search_space: nas_bench_201\nworkload: toy:Instant\nsearcher: random_search\nreport: {metric: x}\n"
    )
    experiment = load_text(text, source="held")
    with journal.FileJournal(folder.path) as book:
        book.append([running._header(experiment, "held", here=True)])
        folder.write("config.yaml", to_yaml(experiment).encode())
        driver = start("resume", str(folder.path))
        output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert b"another process is running this" in output
    assert b"Traceback" not in output


def test_a_termination_signal_ends_a_run_as_ctrl_c_does(tmp_path):
    slow = Driven(tmp_path, SLOW.format(epochs=100, epoch_s=0.2, n=2))
    with slow.driver(lines(6)) as driver:
        driver.send_signal(signal.SIGTERM)
        output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert b"nothing is lost: go on with 'raynas resume" in output
