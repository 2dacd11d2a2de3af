from __future__ import annotations

import json
import os

import pandas as pd
import pytest
import ray
from ray.exceptions import OutOfMemoryError

from raynas import journal
from raynas.config import Resources, load_text, override
from raynas.errors import InputError, RaynasError
from raynas.storage import LocalFolder
from raynas.tune import cluster, running

pytestmark = pytest.mark.ray

NA = "searcher={name: neighborhood, base: {name: random_search, n_proposals: 3}, n_nbr: 4}"


def test_results_do_not_depend_on_concurrency_or_batches(run, content):
    one, first = run(NA, "tune.max_concurrent=1", name="one")
    two, second = run(NA, "tune.max_concurrent=2", name="two")
    many, third = run(NA, "batch=5", name="many")
    pd.testing.assert_frame_equal(content(first), content(second))
    pd.testing.assert_frame_equal(content(first), content(third))
    assert one.best == two.best == many.best
    assert one.counts.nominal == 12
    assert len(content(first)) == 3 * one.counts.unique


def test_trials_start_in_the_order_of_their_proposals(run):
    _, folder = run("searcher.n_proposals=12", "workload.epochs=1", "tune.max_concurrent=6")
    records = journal.read(folder)
    order = [record["id"] for record in records if record["kind"] == "report"]
    asked = [record["id"] for record in records if record["kind"] == "proposal"]
    assert asked == list(range(12))
    assert all(abs(place - key) <= 2 for place, key in enumerate(order))


def test_workers_are_reused(run):
    from raynas import results

    _, folder = run("searcher.n_proposals=12")
    assert results.of_run(folder)["pid"].nunique() <= 3


def test_diverged_and_failing_trials_are_recorded_and_the_search_goes_on(run, content):
    made, folder = run("workload.diverge=0.4", "workload.fail=0.3", "searcher.n_proposals=20")
    frame = content(folder)
    failures = frame.dropna(subset=["failure"]).drop_duplicates("proposal")["failure"]
    assert made.counts.finished + made.counts.failed == 20
    assert set(failures) == {"diverged: train_loss is nan", "error: RuntimeError: no such layer"}
    assert made.counts.finished >= 3
    assert made.best is not None
    details = [record["detail"] for record in journal.read(folder) if record["kind"] == "failure"]
    assert any("Traceback" in detail for detail in details)


def test_a_trial_whose_worker_is_killed_goes_on_from_its_checkpoint(run, content, tmp_path):
    calm, first = run("searcher.n_proposals=4", "workload.epochs=4", name="calm")
    hit, second = run(
        "searcher.n_proposals=4", "workload.epochs=4", f"workload.kill_once={tmp_path}/killed", name="hit"
    )
    assert (tmp_path / "killed").exists()
    assert hit.best == calm.best
    assert hit.counts.failed == 0
    assert [record["kind"] for record in journal.read(second)].count("retry") == 1
    pd.testing.assert_frame_equal(content(first), content(second))


def test_a_trial_whose_worker_is_lost_too_often_fails_and_the_search_goes_on(run, content, tmp_path):
    made, folder = run(
        "searcher.n_proposals=4", "tune.max_failures=0", f"workload.kill_once={tmp_path}/killed"
    )
    assert made.counts.failed == 1
    assert made.counts.finished == 3
    (failure,) = [record for record in journal.read(folder) if record["kind"] == "failure"]
    assert failure["message"].startswith("worker lost: ")
    assert "died" in failure["message"] + failure["detail"]
    assert content(folder)["failure"].notna().sum() == 1


def test_workers_that_ray_killed_for_their_memory_end_the_run_in_words(run, monkeypatch):
    def killed(*arguments):
        try:
            raise OutOfMemoryError("2 workers were killed\nand much more")
        except OutOfMemoryError as error:  # as Tune's actor manager passes it on
            raise RuntimeError(f"Caught unexpected exception: {error}") from error

    monkeypatch.setattr(running, "_tune", killed)
    with pytest.raises(RaynasError, match=r"workers were killed; nothing .*: go on with 'raynas resume"):
        run()


def test_of_a_lost_batch_only_the_proposal_at_hand_fails(run, tmp_path):
    made, _ = run(
        "batch=4", "searcher.n_proposals=8", "tune.max_failures=0", f"workload.kill_once={tmp_path}/killed"
    )
    assert (made.counts.finished, made.counts.failed) == (7, 1)


def test_what_a_workload_raises_while_it_saves_ends_its_trial_with_the_reason(run, content):
    made, folder = run("workload.unsavable=true", "searcher.n_proposals=2")
    failures = [record for record in journal.read(folder) if record["kind"] == "failure"]
    assert {record["message"] for record in failures} == {"ValueError: cannot be saved"}
    assert all("state_dict" in record["detail"] for record in failures)
    assert made.counts.failed == 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("None", "TypeError: step() must return a Report, and returned NoneType"),
        ("text", "ValueError: could not convert string to float: 'high'"),
        ("score", "ValueError: the metric 'score' has the name of a column of the result frame; rename it"),
    ],
)
def test_a_report_that_is_none_ends_its_trial_with_the_reason(kind, message):
    from raynas.search.asktell import Report
    from raynas.tune.trainable import checked

    reports = {"None": None, "text": Report({"a": "high"}, 1), "score": Report({"score": 1.0}, 1)}
    with pytest.raises((TypeError, ValueError)) as caught:
        checked(reports[kind])
    assert f"{type(caught.value).__name__}: {caught.value}" == message


def test_numbers_of_numpy_and_torch_are_plain_in_a_report():
    import numpy as np
    import torch

    from raynas.search.asktell import Report
    from raynas.tune.trainable import checked

    made = checked(Report({"a": np.float32(0.5), "b": torch.tensor(2.0)}, np.int64(3), np.float64(0.25)))
    assert made == Report({"a": 0.5, "b": 2.0}, 3, 0.25)
    assert json.dumps(dict(made.metrics)) == '{"a": 0.5, "b": 2.0}'


def test_paused_trials_free_their_workers_and_the_scheduler_s_choice_goes_on(run, content):
    made, folder = run("scheduler={name: 'toy:Halving', n: 8}")
    frame = content(folder).drop_duplicates("proposal", keep="last")
    finished = set(frame[frame["status"] == "finished"]["proposal"])
    paused = set(frame[frame["status"] == "paused"]["proposal"])
    first = content(folder).query("epoch == 1").set_index("proposal")["valid_accuracy_pct"]
    assert finished == set(first.sort_values(ascending=False).index[:4])
    assert paused == set(first.index) - finished
    assert made.best is not None
    assert made.best.value == frame["valid_accuracy_pct"].max()


def test_stopped_trials_count_with_their_last_report(run, content):
    made, folder = run("scheduler=toy:Stopping")
    last = content(folder).drop_duplicates("proposal", keep="last").set_index("proposal")
    assert list(last["epoch"]) == [3, 1] * 4
    assert set(last["status"]) == {"finished"}
    assert made.counts.finished == 8


def test_checkpoints_of_ended_trials_are_removed_unless_they_are_to_be_kept(run):
    _, bare = run(name="bare")
    assert not list(bare.path.rglob("state.pt"))
    _, kept = run("tune.keep_checkpoints=true", name="kept")
    assert len(list(kept.path.rglob("state.pt"))) == 8
    _, none = run("tune.keep_checkpoints=true", "tune.checkpoint_every=0", name="none")
    assert not list(none.path.rglob("state.pt"))


def test_the_frame_lies_beside_the_journal_and_reads_with_pandas(run, content):
    _, folder = run()
    frame = pd.read_parquet(folder.path / "results.parquet")
    pd.testing.assert_frame_equal(frame.drop(columns=["run", "time", "cost_s", "pid"]), content(folder))
    assert str(frame["time"].dtype) == "datetime64[us, UTC]"
    assert list(frame["epoch"]) == [1, 2, 3] * 8


def test_a_directory_that_holds_a_run_is_not_written_over(run):
    _, folder = run()
    before = (folder.path / journal.FILE).read_bytes()
    with pytest.raises(InputError, match="is there already; go on with it by 'raynas resume"):
        run()
    assert (folder.path / journal.FILE).read_bytes() == before


def test_resuming_a_run_that_has_ended_changes_nothing(run):
    made, folder = run()
    before = (folder.path / journal.FILE).read_bytes()
    again = running.resume(folder)
    assert (again.best, again.counts) == (made.best, made.counts)
    assert (folder.path / journal.FILE).read_bytes() == before


def test_a_resumed_run_keeps_its_configuration(run):
    _, folder = run()
    with pytest.raises(InputError, match=r"-o seed=3: .*only tune\.\* can be changed"):
        running.resume(folder, overrides=[override("seed=3")])


def test_a_metric_that_no_trial_reports_ends_the_run_with_the_names_of_those_it_does(run):
    with pytest.raises(
        InputError, match=r"the trials report no 'accuracy'; set report\.metric to one of pid, valid"
    ):
        run("report.metric=accuracy")


def test_a_trial_that_cannot_fit_is_refused_before_it_waits_for_ever(run, tmp_path):
    with pytest.raises(
        InputError, match=r"a trial wants 1 GPU and there are 0; use -o tune\.resources\.gpu=0"
    ):
        run("tune.resources.gpu=1")
    assert not (tmp_path / "run").exists()


def test_slots_follow_from_fractions_of_resources(two_cpus):
    assert cluster.slots(Resources(cpu=1), fixed=True) == 2
    assert cluster.slots(Resources(cpu=0.25), fixed=True) == 8
    assert cluster.slots(Resources(cpu=1, gpu=1), fixed=False) == 1


def test_loggers_of_tune_are_off_unless_a_configuration_names_them(run):
    _, quiet = run("searcher.n_proposals=2", name="quiet")
    assert not list(quiet.path.rglob("result.json"))
    _, loud = run("searcher.n_proposals=2", "tune.loggers=[json, tensorboard]", name="loud")
    (line, *_) = next(iter(loud.path.rglob("result.json"))).read_text().splitlines()
    assert "valid_accuracy_pct" in json.loads(line)
    assert list(loud.path.rglob("events.out.tfevents*"))


def test_real_training_runs_and_reports_what_the_frame_declares(run, content):
    from raynas import results

    text = (
        "search_space: nas_bench_201\ndataset: digits\n"
        "workload: {name: train_architecture, epochs: 2, batch_size: 64, channels: 4, cells: 1, stages: 1}\n"
        "searcher: {name: random_search, n_proposals: 3}\nreport: {metric: valid_loss, mode: min}\n"
    )
    made, folder = run(text=text)
    frame = content(folder)
    declared = {column.name for column in results.COLUMNS}
    assert set(frame.columns) <= declared
    last = frame[frame["epoch"] == 2]
    assert last["test_accuracy_pct"].between(0, 100).all()
    assert made.best is not None
    assert made.best.value == last["valid_loss"].min()


def test_nothing_of_tunes_settings_stays_in_the_environment(run):
    before = dict(os.environ)
    run("searcher.n_proposals=1")
    after = {key: value for key, value in os.environ.items() if key.startswith(("TUNE_", "RAY_"))}
    assert after == {key: value for key, value in before.items() if key.startswith(("TUNE_", "RAY_"))}
    assert ray.is_initialized()


def test_a_worker_finds_relative_paths_where_the_driver_does(run, content, tmp_path, monkeypatch):
    (tmp_path / "number.txt").write_text("17")
    monkeypatch.chdir(tmp_path)
    _, folder = run("workload.read=number.txt", "searcher.n_proposals=3")
    assert set(content(folder)["read"]) == {17.0}


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match="not a run directory"):
        running.resume(LocalFolder(tmp_path))


def test_an_experiment_survives_the_way_to_a_worker(two_cpus):
    import pickle

    text = (
        "search_space: nas_bench_201\nworkload: toy:Instant\nsearcher: random_search\nreport: {metric: x}\n"
    )
    made = load_text(text, source="x.yaml")
    assert pickle.loads(pickle.dumps(made)) == made
