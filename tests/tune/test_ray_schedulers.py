"""Ray Tune's own schedulers: what they decide is recorded, and every trial of theirs comes to an end."""

from __future__ import annotations

import math
import pickle
import signal
from typing import Any

import pytest
from ray.tune.schedulers import SCHEDULER_IMPORT, FIFOScheduler, TrialScheduler

from raynas import journal, results
from raynas.config import load_text
from raynas.errors import InputError
from raynas.search.asktell import Objective, Report, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.ray_tune import NAMES, REFUSED, RayTune
from raynas.search.searcher.random_search import RandomSearch
from raynas.search.standing import Progress
from raynas.spaces import get_space
from raynas.storage import LocalFolder
from raynas.tune import running
from raynas.tune.bridge import Bridge
from raynas.tune.scheduler_adaptor import RaySchedulerAdaptor, of_ray
from raynas.tune.trainable import PROGRESS

pytestmark = pytest.mark.ray

OBJECTIVE = Objective("valid_accuracy_pct")


def scheduler(name: str, **options: object) -> str:
    given = ", ".join(f"{key}: {value}" for key, value in options.items())
    return f"scheduler={{name: ray_tune, scheduler: {name}, options: {{{given}}}}}"


def result(key: int, epoch: int, value: float) -> dict[str, Any]:
    """What a trial gives to Tune."""
    progress = Progress(key, Report({OBJECTIVE.metric: value}, epoch))
    return {PROGRESS: pickle.dumps([progress]), "epoch": epoch, OBJECTIVE.metric: value}


def adapted(
    name: str, *, n: int, mode: str = "max", **options: object
) -> tuple[RaySchedulerAdaptor, list[Any], Run]:
    """A scheduler of Ray's in its adaptor, without Ray, and trials that have just begun."""
    objective = Objective(OBJECTIVE.metric, mode)
    spec = RayTune(name, options)
    searcher = RandomSearch(n_proposals=n).start(SearchContext(get_space("nas_bench_201"), objective))
    run = Run(searcher, spec.start(objective), objective, journal.MemoryJournal())
    bridge = Bridge(run, batch=1, max_concurrent=None)
    made = RaySchedulerAdaptor(bridge, of_ray(spec, objective), objective, time_attr=spec.time_attr)
    trials = [Trial(key) for key in range(n)]
    for trial in trials:
        assert bridge.assign(trial.trial_id)
        made.on_trial_add(None, trial)
    return made, trials, run


class Trial:
    """As much of a trial of Tune's as schedulers look at."""

    def __init__(self, key: int) -> None:
        self.trial_id, self.status, self.is_saving = f"t{key}", "RUNNING", False


def decided(records: list[dict], decision: str) -> dict[int, int]:
    """The trials of which something was decided, each with the epoch of the last such decision."""
    kept = [record for record in records if record["kind"] == "decision" and record["decision"] == decision]
    return {record["id"]: record["epoch"] for record in kept}


def last(folder: LocalFolder) -> Any:
    """The last row of each trial."""
    return results.of_run(folder).drop_duplicates("proposal", keep="last").set_index("proposal")


def assert_all_ended_in_order(folder: LocalFolder) -> None:
    """Nothing is heard of a trial between its pause and its return, nor after its end, and all have ended."""
    paused: set[int] = set()
    ended: set[int] = set()
    records = journal.read(folder)
    for record in records:
        key = record.get("id", -1)
        match record["kind"]:
            case "report" | "failure":
                assert key not in paused | ended
                ended |= {key} if record.get("done", True) else set()
            case "decision":
                assert key not in ended
                (ended if record["decision"] == "stop" else paused).add(key)
            case "resume":
                assert key in paused - ended
                paused.remove(key)
    assert ended == {record["id"] for record in records if record["kind"] == "proposal"}
    scores = [record["id"] for record in records if record["kind"] == "score"]
    assert sorted(scores) == sorted(ended)


def test_names_are_those_that_ray_knows():
    assert sorted([*NAMES, *REFUSED]) == sorted(SCHEDULER_IMPORT)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("async_hyperband", {"grace": 1}, r"takes no 'grace'.* It takes brackets, grace_period, max_t, "),
        ("fifo", {"max_t": 1}, r"fifo takes no 'max_t'\. It takes none"),
        ("async_hyperband", {"max_t": 0}, r"async_hyperband refuses them: AssertionError: Max \(time_attr\)"),
        ("hyperband", {"max_t": "many"}, r"hyperband refuses them: TypeError"),
    ],
)
def test_options_that_ray_does_not_take_are_refused_before_there_is_a_folder(
    run, tmp_path, name, options, message
):
    with pytest.raises(InputError, match=message):
        run(scheduler(name, **options))
    assert not (tmp_path / "run").exists()


def test_a_time_that_the_workload_is_known_not_to_report_is_refused():
    with pytest.raises(
        InputError, match="the workload reports no 'steps' for time_attr; use epoch, or one of a"
    ):
        of_ray(RayTune("hyperband", {"time_attr": "steps"}), OBJECTIVE, ["a"])
    assert of_ray(RayTune("hyperband", {"time_attr": "a"}), OBJECTIVE, ["a"])


def test_a_time_that_no_trial_reports_ends_the_run_with_the_reason():
    adaptor, (trial,), _ = adapted("hyperband", n=1, time_attr="steps")
    with pytest.raises(
        InputError, match=r"the trials report no 'steps', which scheduler\.options\.time_attr"
    ):
        adaptor.on_trial_result(None, trial, result(0, 1, 50.0))


@pytest.mark.parametrize(("mode", "wrong"), [("max", math.nan), ("min", math.nan), ("min", -math.inf)])
def test_a_value_that_is_no_number_is_the_worst_there_is(mode, wrong):
    adaptor, trials, run = adapted("async_hyperband", n=4, mode=mode, max_t=9, reduction_factor=2)
    answers = [
        adaptor.on_trial_result(None, trial, result(key, 1, wrong if key == 3 else 50.0))
        for key, trial in enumerate(trials)
    ]
    assert answers == ["CONTINUE"] * 3 + ["STOP"]
    assert run.standing(3).status == "finished"


def test_a_trial_whose_worker_is_lost_while_it_is_to_pause_is_running_again():
    adaptor, trials, run = adapted("hb_bohb", n=2, max_t=4, reduction_factor=2)
    assert adaptor.on_trial_result(None, trials[0], result(0, 1, 50.0)) == "PAUSE"
    assert run.paused == (0,)
    adaptor.on_trial_error(None, trials[0])
    adaptor.on_trial_add(None, trials[0])
    assert (run.paused, run.live) == ((), 2)


def test_stopped_trials_count_with_their_last_report(run):
    made, folder = run(scheduler("async_hyperband", max_t=4, reduction_factor=2), "workload.epochs=4")
    records = journal.read(folder)
    stopped = decided(records, "stop")
    assert stopped
    assert not decided(records, "pause")
    epochs = last(folder)["epoch"]
    assert {key: epochs[key] for key in stopped} == stopped
    assert set(epochs.drop(list(stopped))) <= {4}
    assert made.counts.finished == 8
    assert (last(folder)["score"] == last(folder)["valid_accuracy_pct"]).all()
    assert_all_ended_in_order(folder)


def test_trials_that_pause_go_on_or_end_also_where_a_worker_is_lost(run, tmp_path):
    # all ten in at once: HyperBand halves a bracket as soon as those have come that were added so far
    made, folder = run(
        scheduler("hyperband", max_t=4, reduction_factor=2),
        "workload.epochs=6",
        f"workload.kill_once={tmp_path}/killed",
        "searcher.n_proposals=10",
        "tune.max_concurrent=10",
    )
    records = journal.read(folder)
    assert (tmp_path / "killed").exists()
    assert decided(records, "pause")
    assert decided(records, "stop")
    assert any(record["kind"] == "resume" for record in records)
    assert made.counts.finished == 10
    assert_all_ended_in_order(folder)
    assert not list(folder.path.rglob("state.pt"))


def test_the_median_rule_passes_over_trials_that_fail(run):
    made, folder = run(
        scheduler("median_stopping_rule", grace_period=1, min_samples_required=2),
        "workload.epochs=4",
        "workload.fail=0.4",
    )
    assert made.counts.failed >= 2
    assert decided(journal.read(folder), "stop")
    assert_all_ended_in_order(folder)


def test_a_scheduler_that_leaves_every_trial_paused_does_not_hang_the_run(run, monkeypatch):
    class Stubborn(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            return TrialScheduler.PAUSE

        def choose_trial_to_run(self, tune_controller: Any) -> None:
            return None

    monkeypatch.setitem(SCHEDULER_IMPORT, "fifo", Stubborn)
    made, folder = run(scheduler("fifo"), "searcher.n_proposals=2")
    assert made.counts.finished == 2
    assert set(decided(journal.read(folder), "pause")) == {0, 1}
    assert_all_ended_in_order(folder)


def test_an_interrupted_run_keeps_what_was_decided_when_it_is_resumed(two_cpus, tmp_path, caplog):
    text = (
        "search_space: nas_bench_201\n"
        'workload: {name: "toy:Instant", epochs: 4}\n'
        "searcher: {name: random_search, n_proposals: 9}\n"
        "report: {metric: valid_accuracy_pct}\n"
        "scheduler: {name: ray_tune, scheduler: hb_bohb, options: {max_t: 4, reduction_factor: 2}}\n"
    )
    folder = LocalFolder(tmp_path / "hit")

    def interrupt(record: dict[str, Any], run: Run) -> None:
        if record["kind"] == "decision" and record["decision"] == "stop":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(running.InterruptedRunError):
        running.run(load_text(text, source="x.yaml"), folder, name="hit", on_event=interrupt)
    before = journal.read(folder)
    stopped = decided(before, "stop")
    statuses = last(folder)["status"]
    assert stopped
    assert set(statuses[list(stopped)]) == {"finished"}
    assert (statuses == "paused").any()

    made = running.resume(folder)
    after = journal.read(folder)
    assert made.counts.finished == 9
    assert after[: len(before)] == before
    assert decided(after, "stop").items() >= stopped.items()
    assert "hb_bohb starts afresh" in caplog.text
    assert_all_ended_in_order(folder)
