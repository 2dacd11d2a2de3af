"""Schedulers of Ray Tune as far as they need no Ray: what is refused, what is recorded, what is replayed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from raynas.config import load_text, to_yaml
from raynas.errors import ConfigError, InputError
from raynas.journal import MemoryJournal
from raynas.search.asktell import Failure, Objective, Report, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.ray_tune import CHANGES, NAMES, REFUSED, RayTune
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.random_search import RandomSearch
from raynas.spaces import get_space

OBJECTIVE = Objective("valid_accuracy_pct", "max")
EPOCHS = 4
HEAD = (
    "search_space: nas_bench_201\nworkload: toy:Instant\nsearcher: random_search\n"
    "report: {metric: valid_accuracy_pct}\n"
)


def start(journal: MemoryJournal) -> Run:
    context = SearchContext(get_space("nas_bench_201"), OBJECTIVE, seed=5)
    searcher = Neighborhood(base=RandomSearch(n_proposals=4), n_nbr=5).start(context)
    scheduler = RayTune("hyperband").start(OBJECTIVE)
    return Run(searcher, scheduler, OBJECTIVE, journal, clock=lambda: 0.0)


def drive(run: Run, rng: random.Random, *, steps: int | None = None) -> None:
    """Advances trials one at a time, pausing and stopping them by chance, as someone outside would."""
    live: list[int] = []
    while steps is None or steps > 0:
        if not live:
            fresh = run.take(2)
            waiting = run.next_to_resume()
            if not fresh and waiting is None:
                return
            live = [item.proposal.id for item in fresh or [run.resume(waiting)]]  # type: ignore[arg-type]
        key = rng.choice(live)
        standing = run.standing(key)
        epoch = standing.epoch + 1
        if key % 13 == 12:
            run.fail(key, Failure("diverged", "nan", epoch))
        else:
            index = get_space("nas_bench_201").index(standing.proposal.architecture)
            report = Report({OBJECTIVE.metric: index * 7919 % 1000 / 11 + epoch}, epoch)
            run.report(key, report, done=epoch == EPOCHS)
            run.decide(key, rng.choice(["continue", "pause", "stop"]))
            if rng.random() < 0.2 and run.paused:
                run.decide(run.paused[0], "stop")  # as HyperBand ends a whole bracket at one trial's report
        live = [key for key in live if run.standing(key).status == "running"]
        steps = steps and steps - 1


def state(run: Run, journal: MemoryJournal) -> Any:
    n = run.counts.nominal
    where = [
        (run.standing(key).status, run.standing(key).epoch, run.standing(key).outcome) for key in range(n)
    ]
    # what was running is handed out again
    known = [("pending" if status == "running" else status, *rest) for status, *rest in where]
    return known, run.counts, run.best, run.paused


def decisions(journal: MemoryJournal) -> list[tuple[int, int, str]]:
    kept = [record for record in journal.records if record["kind"] == "decision"]
    return [(record["id"], record["epoch"], record["decision"]) for record in kept]


def taken(run: Run, n: int) -> list[int]:
    return [item.proposal.id for item in run.take(n)]


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("{name: ray_tune}", "scheduler.scheduler: is missing"),
        (
            "{name: ray_tune, scheduler: asynch_hyperband}",
            r"scheduler.scheduler: Ray Tune has no 'asynch_hyperband'; did you mean 'async_hyperband'\? "
            "Available: async_hyperband, ",
        ),
        (
            "{name: ray_tune, scheduler: pbt}",
            "pbt changes the hyperparameters of running trials, and a sampled architecture has none; use ",
        ),
        (
            "{name: ray_tune, scheduler: resource_changing}",
            "changes the resources of running trials, and tune.resources holds for all of a run; use one of ",
        ),
        (
            "{name: ray_tune, scheduler: hyperband, options: {metric: loss}}",
            r"scheduler.options: metric is not given here, since report\.metric says what is improved",
        ),
        (
            "{name: ray_tune, scheduler: hyperband, options: {mode: min}}",
            r"mode is not given here, since report\.mode says whether more of it is better; leave it out",
        ),
        (
            "{name: ray_tune, scheduler: hyperband, options: {time_attr: training_iteration}}",
            "time_attr training_iteration begins anew when a run is resumed; use epoch",
        ),
        (
            "{name: ray_tune, scheduler: hyperband, options: {reduction_factor: 1}}",
            "reduction_factor 1 lets every trial go on; give a number above 1",
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_when_it_is_loaded(scheduler, message):
    with pytest.raises(ConfigError, match=message):
        load_text(HEAD + f"scheduler: {scheduler}\n", source="x.yaml")


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(CHANGES)))
def test_a_configuration_is_read_as_it_was_written(name):
    text = HEAD + f"scheduler: {{name: ray_tune, scheduler: {name}, options: {{max_t: 9, time_attr: pid}}}}\n"
    made = load_text(text, source="x.yaml")
    assert made.scheduler == RayTune(name, {"max_t": 9, "time_attr": "pid"})
    assert load_text(to_yaml(made), source="y.yaml") == made


def test_several_proposals_a_trial_are_refused():
    with pytest.raises(ConfigError, match="batch: 4 proposals a trial cannot be stopped one by one"):
        load_text(HEAD + "batch: 4\nscheduler: {name: ray_tune, scheduler: hyperband}\n", source="x.yaml")


def test_a_simulation_refuses_it():
    from raynas.simulation.cluster import Cluster
    from raynas.simulation.simulating import simulate

    made = load_text(HEAD + "scheduler: {name: ray_tune, scheduler: hyperband}\n", source="x.yaml")
    with pytest.raises(InputError, match="Ray Tune's own schedulers run on Ray alone"):
        simulate(made, Cluster(workers=2))


def test_a_stopped_proposal_has_its_last_report_for_its_outcome():
    journal = MemoryJournal()
    run = start(journal)
    first, *_ = taken(run, 5)
    report = Report({OBJECTIVE.metric: 61.0}, 1)
    assert run.report(first, report, done=False) == "continue"
    run.decide(first, "stop")
    assert run.standing(first).status == "finished"
    assert run.standing(first).outcome == report
    assert decisions(journal) == [(first, 1, "stop")]
    run.decide(first, "stop")
    run.decide(first, "pause")
    assert run.report(first, Report({OBJECTIVE.metric: 99.0}, 2), done=True) == "stop"
    assert decisions(journal) == [(first, 1, "stop")]


def test_a_paused_proposal_is_not_live_until_it_is_resumed():
    journal = MemoryJournal()
    run = start(journal)
    first, *_ = taken(run, 2)
    run.decide(first, "pause")  # it has not reported, so that there is nothing to come back to
    assert run.live == 2
    run.report(first, Report({OBJECTIVE.metric: 61.0}, 1), done=False)
    run.decide(first, "pause")
    run.decide(first, "pause")
    assert (run.live, run.paused, run.next_to_resume()) == (1, (first,), first)
    assert decisions(journal) == [(first, 1, "pause")]
    run.resume(first)
    assert (run.live, run.paused) == (2, ())


@pytest.mark.parametrize("seed", range(8))
def test_a_replayed_run_stands_where_the_recorded_decisions_left_it(seed):
    rng = random.Random(seed)
    journal = MemoryJournal()
    run = start(journal)
    for _ in range(5):
        drive(run, rng, steps=rng.randrange(1, 12))
        before = list(journal.records)
        again = start(journal)
        again.replay(before)
        assert journal.records == before  # nothing was derived that is not there
        assert state(again, journal) == state(run, journal)
        run = again
    drive(run, rng)
    statuses = {run.standing(key).status for key in range(run.counts.nominal)}
    assert statuses <= {"finished", "failed", "reused"}
    assert run.counts.finished + run.counts.failed == run.counts.unique
    ends = [key for key, _, decision in decisions(journal) if decision == "stop"]
    assert len(ends) == len(set(ends))


@pytest.mark.parametrize("cut", range(1, 16))
def test_of_a_torn_journal_the_decisions_that_are_left_hold(cut):
    whole = MemoryJournal()
    drive(start(whole), random.Random(3), steps=30)
    journal = MemoryJournal()
    journal.records = whole.records[:-cut]
    run = start(journal)
    run.replay(list(journal.records))
    stopped = {key for key, _, decision in decisions(journal) if decision == "stop"}
    assert stopped
    assert all(run.standing(key).status == "finished" for key in stopped)
    handed_out = set(taken(run, 100))
    assert not handed_out & stopped
    assert not handed_out & set(run.paused)
    scores = [record["id"] for record in journal.records if record["kind"] == "score"]
    assert len(scores) == len(set(scores))


def test_refusals_and_names_do_not_overlap():
    assert not set(NAMES) & set(REFUSED)
