"""A run over made-up values: what is recorded, what is replayed, what is never done twice."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from raynas.errors import InputError
from raynas.flatness.aggregator.mean import Mean
from raynas.journal import MemoryJournal
from raynas.search.asktell import Decision, Failure, Objective, Report, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.fifo import Fifo
from raynas.search.searcher.evolution_oneshot import EvolutionOneshot
from raynas.search.searcher.for_each import ForEach
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.random_search import RandomSearch
from raynas.search.searcher.regularized_evolution import RegularizedEvolution
from raynas.search.standing import Progress
from raynas.search.sweep import Listed
from raynas.spaces import get_space

OBJECTIVE = Objective("valid_accuracy_pct", "max")
EPOCHS = 3
ONE_SHOT = EvolutionOneshot(population_size=8, top_k=3, n_mutation=3, n_crossover=3, generations=3)
SPECS = {
    "random": RandomSearch(n_proposals=30),
    "neighborhood": Neighborhood(base=RandomSearch(n_proposals=6), n_nbr=5, aggregator=Mean()),
    "evolution": RegularizedEvolution(n_proposals=40),
    "neighborhood of evolution": Neighborhood(base=RegularizedEvolution(n_proposals=12), n_nbr=4),
    "one-shot evolution": ONE_SHOT,
    "one-shot evolution for each": ForEach(base=ONE_SHOT),
}


class Halves:
    """Pauses every trial after its first epoch, and lets the better half of the paused go on."""

    def __init__(self) -> None:
        self._first: dict[int, float] = {}

    def report(self, trial_id: int, report: Report) -> Decision:
        if report.epoch > 1:
            return "continue"
        self._first[trial_id] = report.metrics[OBJECTIVE.metric]
        return "pause"

    def next_to_run(self, pending: Iterable[int], paused: Iterable[int]) -> int | None:
        allowed = sorted(self._first, key=lambda key: (-self._first[key], key))[: len(self._first) // 2]
        return next((key for key in allowed if key in set(paused)), None)


def value(architecture: Any, epoch: int = EPOCHS) -> float:
    return get_space("nas_bench_201").index(architecture) * 7919 % 1000 / 10 + epoch


def start(spec: Any, journal: MemoryJournal, scheduler: Any = None) -> Run:
    sweep = {"seed": Listed((5, 6))}  # which most have no use for
    context = SearchContext(get_space("nas_bench_201"), OBJECTIVE, seed=5, sweep=sweep)
    chosen = Fifo().start(OBJECTIVE) if scheduler is None else scheduler
    return Run(spec.start(context), chosen, OBJECTIVE, journal, clock=lambda: 0.0)


def drive(run: Run, rng: random.Random, *, slots: int, steps: int | None = None) -> dict[int, int]:
    """Advances random live trials, ``slots`` at a time; gives the epochs that each trained."""
    live: dict[int, Any] = {}
    trained: dict[int, int] = {}
    while steps is None or steps > 0:
        while len(live) < slots:
            proposal_id = run.next_to_resume()
            taken = [run.resume(proposal_id)] if proposal_id is not None else run.take(1)
            if not taken:
                break
            live[taken[0].proposal.id] = taken[0]
        if not live:
            return trained
        proposal_id = rng.choice(sorted(live))
        epoch = run.standing(proposal_id).epoch + 1
        metrics = {OBJECTIVE.metric: value(live[proposal_id].proposal.architecture, epoch)}
        trained[proposal_id] = trained.get(proposal_id, 0) + 1
        if proposal_id % 11 == 10:
            run.fail(proposal_id, Failure("diverged", "nan", epoch))
            decision: Decision = "stop"
        else:
            decision = run.report(proposal_id, Report(metrics, epoch), done=epoch == EPOCHS)
        if decision != "continue":
            del live[proposal_id]
        if steps is not None:
            steps -= 1
    return trained


def facts(journal: MemoryJournal, *kinds: str) -> list[dict[str, Any]]:
    kept = [record for record in journal.records if record["kind"] in kinds]
    return sorted(kept, key=lambda record: (record["id"], record.get("epoch") or 0))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("slots", [1, 3, 17])
def test_proposals_and_results_do_not_depend_on_how_many_trials_run_at_once(name, slots):
    reference, other = MemoryJournal(), MemoryJournal()
    first, second = start(SPECS[name], reference), start(SPECS[name], other)
    drive(first, random.Random(0), slots=2)
    drive(second, random.Random(slots), slots=slots)
    assert facts(reference, "proposal", "score") == facts(other, "proposal", "score")
    assert first.best == second.best
    assert first.counts == second.counts


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("scheduler", [None, Halves])
def test_a_run_killed_anywhere_and_replayed_ends_as_if_it_had_not_been(name, scheduler):
    def made(journal: MemoryJournal) -> Run:
        return start(SPECS[name], journal, scheduler and scheduler())

    whole = MemoryJournal()
    reference = made(whole)
    drive(reference, random.Random(1), slots=1)
    for seed in range(12):
        rng = random.Random(seed)
        journal = MemoryJournal()
        run = made(journal)
        for _ in range(4):
            drive(run, rng, slots=1, steps=rng.randrange(25))
            survived = MemoryJournal()
            survived.records = journal.records[: len(journal.records) - rng.randrange(2)]
            journal, run = survived, made(survived)
            run.replay(list(journal.records))
        drive(run, rng, slots=1)
        kinds = ("proposal", "report", "failure", "decision", "score")
        assert facts(journal, *kinds) == facts(whole, *kinds)
        assert run.best == reference.best
        assert run.counts == reference.counts


@pytest.mark.parametrize("cut", range(1, 30))
def test_facts_derived_from_the_last_report_are_written_again_where_a_kill_tore_them_off(cut):
    whole = MemoryJournal()
    drive(start(SPECS["random"], whole, Halves()), random.Random(1), slots=2)
    kept = whole.records[:-cut]
    journal = MemoryJournal()
    journal.records = list(kept)
    start(SPECS["random"], journal, Halves()).replay(kept)
    epochs = {(record["id"], record["epoch"]) for record in facts(journal, "report") if record["epoch"] == 1}
    decided = {(record["id"], record["epoch"]) for record in facts(journal, "decision")}
    assert decided == epochs
    assert len(facts(journal, "decision")) == len(decided)


def test_proposals_that_a_lost_trial_did_not_come_to_are_handed_out_again():
    run = start(SPECS["random"], MemoryJournal())
    first, second, third = run.take(3)
    run.fail(first.proposal.id, Failure("lost", "killed"))
    run.release([item.proposal.id for item in (first, second, third)])
    assert run.live == 0
    assert [item.proposal.id for item in run.take(3)][:2] == [second.proposal.id, third.proposal.id]


def test_no_finished_proposal_is_handed_out_again_after_a_replay():
    journal = MemoryJournal()
    run = start(SPECS["neighborhood"], journal)
    before = drive(run, random.Random(3), slots=4, steps=40)
    finished = {key for key in before if run.standing(key).status in ("finished", "failed")}
    again = start(SPECS["neighborhood"], journal)
    again.replay(list(journal.records))
    after = drive(again, random.Random(4), slots=4)
    assert finished
    assert not finished & set(after)


def test_an_unfinished_proposal_comes_back_first_with_its_last_checkpoint():
    journal = MemoryJournal()
    run = start(SPECS["random"], journal)
    first, second = run.take(2)
    run.report(second.proposal.id, Report({OBJECTIVE.metric: 1.0}, 1), done=False)
    run.checkpoint(second.proposal.id, 1, "attempts/0001/a")
    again = start(SPECS["random"], journal)
    again.replay(list(journal.records))
    assert [item.proposal for item in again.take(3)[:2]] == [first.proposal, second.proposal]
    assert again.standing(second.proposal.id).checkpoint == "attempts/0001/a"


def test_an_architecture_already_trained_is_never_trained_again():
    journal = MemoryJournal()
    spec = RandomSearch(n_proposals=3000)
    run = start(spec, journal)
    trained = drive(run, random.Random(0), slots=8)
    proposals = facts(journal, "proposal")
    distinct = {record["architecture"] for record in proposals}
    assert len(proposals) == run.counts.nominal == 3000
    assert len(distinct) == len(trained) == run.counts.unique < 3000
    scores = {record["id"]: record["value"] for record in facts(journal, "score")}
    assert len(scores) == 3000
    for record in proposals:
        if record["reuses"] is not None:
            assert scores[record["id"]] == scores[record["reuses"]]


def test_the_first_report_of_an_epoch_counts_and_an_ended_trial_stays_ended():
    journal = MemoryJournal()
    run = start(SPECS["random"], journal)
    (item,) = run.take(1)
    key = item.proposal.id
    assert run.report(key, Report({OBJECTIVE.metric: 1.0}, 1), done=False) == "continue"
    assert run.report(key, Report({OBJECTIVE.metric: 99.0}, 1), done=False) == "continue"
    assert run.report(key, Report({OBJECTIVE.metric: 2.0}, 2), done=True) == "stop"
    assert run.report(key, Report({OBJECTIVE.metric: 3.0}, 3), done=True) == "stop"
    run.fail(key, Failure("lost", "late"))
    assert [record["metrics"][OBJECTIVE.metric] for record in facts(journal, "report")] == [1.0, 2.0]
    assert run.counts.finished == 1
    assert run.best is not None
    assert run.best.value == 2.0


def test_a_trial_that_was_to_pause_when_its_worker_was_lost_pauses_at_the_same_epoch():
    run = start(RandomSearch(n_proposals=4), MemoryJournal(), Halves())
    (item,) = run.take(1)
    report = Report({OBJECTIVE.metric: 1.0}, 1)
    assert run.report(item.proposal.id, report, done=False) == "pause"
    assert run.report(item.proposal.id, report, done=False) == "pause"
    assert run.live == 0


def test_facts_reach_the_journal_before_anyone_hears_of_them():
    journal = MemoryJournal()
    heard: list[int] = []

    def on_event(record: Any) -> None:
        heard.append(len(journal.records))

    context = SearchContext(get_space("nas_bench_201"), OBJECTIVE, seed=5)
    spec = RandomSearch(n_proposals=5)
    run = Run(spec.start(context), Fifo().start(OBJECTIVE), OBJECTIVE, journal, on_event=on_event)
    drive(run, random.Random(0), slots=2)
    assert all(written >= number for number, written in enumerate(heard, start=1))
    assert len(heard) == len(journal.records)


def test_several_outcomes_are_recorded_in_one_append():
    class Counting(MemoryJournal):
        appends = 0

        def append(self, records: Iterable[Any]) -> None:
            self.appends += 1
            super().append(records)

    journal = Counting()
    run = start(SPECS["random"], journal)
    taken = run.take(8)
    assert journal.appends == 1
    run.record([Progress(item.proposal.id, Report({OBJECTIVE.metric: 1.0}, 1), done=True) for item in taken])
    assert journal.appends == 2


def test_of_equal_scores_the_earliest_proposal_is_best_whatever_the_order_of_arrival():
    run = start(SPECS["random"], MemoryJournal())
    taken = run.take(5)
    for item in reversed(taken):
        run.report(item.proposal.id, Report({OBJECTIVE.metric: 50.0}, 1), done=True)
    assert run.best is not None
    assert run.best.proposal_id == taken[0].proposal.id


def test_a_metric_that_no_trial_reports_is_refused_before_anything_is_recorded():
    journal = MemoryJournal()
    run = start(SPECS["random"], journal)
    (item,) = run.take(1)
    with pytest.raises(
        InputError, match=r"no 'valid_accuracy_pct'; set report\.metric to one of accuracy, loss"
    ):
        run.report(item.proposal.id, Report({"loss": 1.0, "accuracy": 2.0}, 1), done=True)
    assert not facts(journal, "report")


def test_a_journal_of_another_configuration_is_refused():
    journal = MemoryJournal()
    drive(start(SPECS["random"], journal), random.Random(0), slots=1, steps=9)
    with pytest.raises(InputError, match=r"config\.yaml was changed"):
        start(SPECS["evolution"], MemoryJournal()).replay(journal.records)


def test_paused_trials_are_not_live_and_go_on_where_the_scheduler_says() -> None:
    run = start(RandomSearch(n_proposals=8), MemoryJournal(), Halves())
    drive(run, random.Random(0), slots=2)
    assert run.counts.finished + len(run.paused) == 8
    assert run.counts.finished >= 4
    assert run.paused
    assert run.live == 0
    assert run.next_to_resume() is None


def test_a_trial_that_was_stopped_on_its_way_is_best_only_while_none_has_ended() -> None:
    class StopsTheFirst:
        def report(self, trial_id: int, report: Report) -> Decision:
            return "stop" if trial_id == 0 else "continue"

        def next_to_run(self, pending: Iterable[int], paused: Iterable[int]) -> int | None:
            return None

    run = start(RandomSearch(n_proposals=3), MemoryJournal(), StopsTheFirst())
    run.take(3)
    assert run.report(0, Report({OBJECTIVE.metric: 99.0}, 1), done=False) == "stop"
    assert run.best is not None and run.best.proposal_id == 0
    run.report(1, Report({OBJECTIVE.metric: 90.0}, 3), done=True)
    run.report(2, Report({OBJECTIVE.metric: 80.0}, 3), done=True)
    assert run.best.proposal_id == 1
