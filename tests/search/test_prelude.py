"""A search behind a trial that makes what all others need: what it proposes, and what a run makes of it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from rankers import Random

from raynas.errors import InputError
from raynas.journal import MemoryJournal
from raynas.search.asktell import Decision, Failure, Objective, Report, SearchContext
from raynas.search.prelude import WithPrelude
from raynas.search.run import Run
from raynas.search.scheduler.fifo import Fifo
from raynas.search.scheduler.nosh import Nosh
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.random_search import RandomSearch
from raynas.search.searcher.rank_predictor import RankPredictor
from raynas.search.searcher.regularized_evolution import RegularizedEvolution
from raynas.spaces import get_space

OBJECTIVE = Objective("valid_accuracy_pct", "max")
SPECS = {
    "random": RandomSearch(n_proposals=20),
    "neighborhood": Neighborhood(base=RandomSearch(n_proposals=5), n_nbr=4),
    "evolution": RegularizedEvolution(population_size=4, sample_size=2, n_proposals=16),
    "rank predictor": RankPredictor(Random(), n_proposals=12, n_first=6, n_batch=3, n_candidates=40),
}
TRAINED = Report({"train_loss": 0.5}, 3)


class Wary:
    """A scheduler that must never hear of the prelude."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def report(self, trial_id: int, report: Report) -> Decision:
        self.heard.append(trial_id)
        return "continue"

    def failed(self, trial_id: int) -> None:
        self.heard.append(trial_id)

    def admitted(self, proposal: Any) -> None:
        self.heard.append(proposal.id)

    def next_to_run(self, pending: Any, paused: Any) -> int | None:
        return None


def value(architecture: Any) -> float:
    return get_space("nas_bench_201").index(architecture) * 7919 % 1000 / 10


def begun(name: str, journal: MemoryJournal, scheduler: Any = None, *, prelude: bool = True) -> Run:
    searcher = SPECS[name].start(SearchContext(get_space("nas_bench_201"), OBJECTIVE, seed=5))
    chosen = Fifo().start(OBJECTIVE) if scheduler is None else scheduler
    return Run(WithPrelude(searcher) if prelude else searcher, chosen, OBJECTIVE, journal, clock=lambda: 0.0)


def drive(run: Run, rng: random.Random, *, slots: int = 3, steps: int | None = None) -> None:
    """Ends random live trials, ``slots`` at a time."""
    live: list[Any] = []
    while steps is None or steps > 0:
        live += [item.proposal for item in run.take(slots - len(live))]
        if not live:
            return
        proposal = live.pop(rng.randrange(len(live)))
        if proposal.is_prelude:
            run.report(proposal.id, Report({"train_loss": 1.0}, 1), done=False)
            run.report(proposal.id, TRAINED, done=True)
        else:
            run.report(proposal.id, Report({OBJECTIVE.metric: value(proposal.architecture)}, 1), done=True)
        if steps is not None:
            steps -= 1


def facts(journal: MemoryJournal, kind: str) -> list[dict[str, Any]]:
    return sorted((one for one in journal.records if one["kind"] == kind), key=lambda one: one["id"])


@pytest.mark.parametrize("name", SPECS)
def test_the_search_is_the_one_without_a_prelude_one_number_later(name):
    alone, behind = MemoryJournal(), MemoryJournal()
    drive(begun(name, alone, prelude=False), random.Random(0))
    drive(begun(name, behind), random.Random(0))
    for kind in ("proposal", "score"):
        moved = [
            one
            | {"id": one["id"] + 1}
            | {key: one[key] + 1 for key in ("group", "reuses") if one.get(key) is not None}
            for one in facts(alone, kind)
        ]
        found = facts(behind, kind)
        assert (found[1:] if kind == "proposal" else found) == moved
    first = facts(behind, "proposal")[0]
    assert (first["id"], first["role"], first["architecture"]) == (0, "supernet", None)


def test_nobody_else_begins_before_it_has_ended_and_no_batch_holds_it_with_others():
    run = begun("random", MemoryJournal())
    assert [item.proposal.id for item in run.take(8)] == [0]
    assert run.take(8) == []
    run.report(0, Report({"train_loss": 1.0}, 1), done=False)
    assert run.take(8) == []
    run.report(0, TRAINED, done=True)
    assert [item.proposal.id for item in run.take(8)] == list(range(1, 9))


def test_it_is_no_candidate_is_not_scored_and_no_scheduler_hears_of_it():
    journal, scheduler = MemoryJournal(), Wary()
    run = begun("random", journal, scheduler)
    drive(run, random.Random(0))
    assert sorted(set(scheduler.heard)) == list(range(1, 21))
    assert run.counts.nominal == 20
    assert run.counts.finished == run.counts.unique
    assert [one["id"] for one in facts(journal, "score")] == list(range(1, 21))
    assert run.best is not None and run.best.proposal_id > 0
    with pytest.raises(InputError, match="report no 'valid_accuracy_pct'"):
        again = begun("random", MemoryJournal())
        again.take()
        again.report(0, TRAINED, done=True)
        again.report(again.take()[0].proposal.id, TRAINED, done=True)


def test_a_search_whose_prelude_failed_is_over():
    journal, scheduler = MemoryJournal(), Wary()
    run = begun("random", journal, scheduler)
    run.take()
    run.fail(0, Failure("error", "out of memory"))
    assert run.take(4) == []
    assert (run.live, run.best, run.counts.failed, run.counts.nominal) == (0, None, 1, 0)
    assert run.first_failure == Failure("error", "out of memory")
    assert scheduler.heard == []


@pytest.mark.parametrize("name", SPECS)
def test_a_run_killed_anywhere_ends_as_if_it_had_not_been(name):
    whole = MemoryJournal()
    reference = begun(name, whole)
    drive(reference, random.Random(1))
    for seed in range(8):
        rng = random.Random(seed)
        journal = MemoryJournal()
        run = begun(name, journal)
        for _ in range(4):
            drive(run, rng, steps=rng.randrange(8))
            survived = MemoryJournal()
            survived.records = journal.records[: len(journal.records) - rng.randrange(2)]
            journal, run = survived, begun(name, survived)
            run.replay(list(journal.records))
        drive(run, rng)
        assert all(facts(journal, kind) == facts(whole, kind) for kind in ("proposal", "score"))
        assert (run.best, run.counts) == (reference.best, reference.counts)


def test_a_predictor_that_shares_a_pool_sees_the_trials_that_it_would_see_without():
    nosh = Nosh(levels=(1,), r=0.5, n_first=6, n_batch=3, n_pool=12)
    alone, behind = MemoryJournal(), MemoryJournal()
    drive(begun("rank predictor", alone, nosh.start(OBJECTIVE), prelude=False), random.Random(0))
    drive(begun("rank predictor", behind, nosh.start(OBJECTIVE)), random.Random(0))
    found = [one["architecture"] for one in facts(behind, "proposal")[1:]]
    assert found == [one["architecture"] for one in facts(alone, "proposal")]
    assert len(found) == 12
