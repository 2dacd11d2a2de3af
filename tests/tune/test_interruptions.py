"""Runs whose driver is killed, with Ray and all its workers, at several moments."""

from __future__ import annotations

import signal

import pandas as pd
import pytest
from drivers import start

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


def finished(records: list[dict]) -> dict[int, float]:
    return {
        record["id"]: record["metrics"]["valid_accuracy_pct"]
        for record in records
        if record["kind"] == "report" and record["done"]
    }


def test_a_run_killed_again_and_again_ends_as_an_uninterrupted_one(
    run, content, tmp_path, wait_for, kill_tree
):
    whole, reference = run(text=TEXT, name="whole")
    config = tmp_path / "killed.yaml"
    config.write_text(TEXT)
    folder = tmp_path / "runs" / "hit"
    lines, done = 0, {}
    for kill_after in (3, 14, 40):
        lines += kill_after
        arguments = (
            ["resume", str(folder)]
            if done or folder.exists()
            else ["run", str(config), "--name", "hit", "--storage", str(tmp_path / "runs")]
        )
        driver = start(*arguments)
        try:
            wait_for(folder, lines)
        finally:
            kill_tree(driver.pid)
        driver.communicate()
        records = journal.read(LocalFolder(folder))
        assert done.items() <= finished(records).items()
        done = finished(records)
        lines = len(records)
        results.of_run(LocalFolder(folder))  # readable at any time
    driver = start("resume", str(folder))
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, output.decode()
    assert str(whole.best.architecture) in output.decode()

    pd.testing.assert_frame_equal(content(reference), content(LocalFolder(folder)))
    records = journal.read(LocalFolder(folder))
    ends = [record["id"] for record in records if record["kind"] == "report" and record["done"]]
    assert len(ends) == len(set(ends)) == whole.counts.unique
    proposals = [record for record in records if record["kind"] == "proposal"]
    assert [record["id"] for record in proposals] == list(range(whole.counts.nominal))
    epochs = [(record["id"], record["epoch"]) for record in records if record["kind"] == "report"]
    assert len(epochs) == len(set(epochs))
    scores = [record["id"] for record in records if record["kind"] == "score"]
    assert len(scores) == len(set(scores)) == 4


def test_an_unfinished_trial_goes_on_from_its_last_checkpoint(tmp_path, wait_for, kill_tree):
    config = tmp_path / "slow.yaml"
    config.write_text(
        "search_space: nas_bench_201\n"
        'workload: {name: "toy:Instant", epochs: 12, epoch_s: 0.25}\n'
        "searcher: {name: random_search, n_proposals: 1}\n"
        "report: {metric: valid_accuracy_pct}\n"
    )
    folder = tmp_path / "runs" / "slow"
    driver = start("run", str(config), "--name", "slow", "--storage", str(tmp_path / "runs"))
    try:
        wait_for(folder, 3 + 2 * 6)
    finally:
        kill_tree(driver.pid)
    before = journal.read(LocalFolder(folder))
    saved = max(record["epoch"] for record in before if record["kind"] == "checkpoint")
    driver = start("resume", str(folder))
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, output.decode()
    after = journal.read(LocalFolder(folder))[len(before) :]
    pids = {record["metrics"]["pid"] for record in after if record["kind"] == "report"}
    trained = [record["epoch"] for record in after if record["kind"] == "report"]
    assert saved >= 5
    assert len(pids) == 1
    # epochs up to the checkpoint are not trained again, so they cannot be checkpointed again
    assert min(record["epoch"] for record in after if record["kind"] == "checkpoint") > saved
    assert trained[-1] == 12
    assert not list(folder.rglob("state.pt"))


def test_a_second_driver_of_a_run_is_refused(tmp_path):
    folder = LocalFolder(tmp_path / "held")
    text = (
        "search_space: nas_bench_201\nworkload: toy:Instant\nsearcher: random_search\nreport: {metric: x}\n"
    )
    experiment = load_text(text, source="held")
    with journal.FileJournal(folder.path) as book:
        book.append([running._header(experiment, "held")])
        folder.write("config.yaml", to_yaml(experiment).encode())
        driver = start("resume", str(folder.path))
        output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert b"another process is running this" in output
    assert b"Traceback" not in output


def test_a_termination_signal_ends_a_run_as_ctrl_c_does(tmp_path, wait_for):
    config = tmp_path / "slow.yaml"
    config.write_text(
        "search_space: nas_bench_201\n"
        'workload: {name: "toy:Instant", epochs: 100, epoch_s: 0.2}\n'
        "searcher: {name: random_search, n_proposals: 2}\n"
        "report: {metric: valid_accuracy_pct}\n"
    )
    folder = tmp_path / "runs" / "slow"
    driver = start("run", str(config), "--name", "slow", "--storage", str(tmp_path / "runs"))
    wait_for(folder, 6)
    driver.send_signal(signal.SIGTERM)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert b"nothing is lost: go on with 'raynas resume" in output
