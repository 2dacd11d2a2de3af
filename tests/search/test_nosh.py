"""The pyramid of NOSH: the hand-worked one, what it costs, and that nobody is lost."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import OBJECTIVE, drive

from raynas.journal import MemoryJournal
from raynas.search.asktell import Proposal, Report, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.nosh import Nosh
from raynas.search.searcher.regularized_evolution import RegularizedEvolution
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")


class Listed:
    """A searcher that proposes what it is given."""

    def __init__(self, indices):
        self._left = list(enumerate(indices))

    def ask(self):
        if not self._left:
            return None
        key, index = self._left.pop(0)
        return Proposal(id=key, architecture=SPACE.at(index))

    def tell(self, proposal_id, outcome):
        return None


def begin(spec, searcher, journal=None):
    scheduler = spec.start(OBJECTIVE)
    return Run(searcher, scheduler, OBJECTIVE, journal or MemoryJournal(), clock=lambda: 0.0), scheduler


def reached(scheduler, n_levels):
    members = scheduler.pool.members.values()
    return [sum(member.level >= level for member in members) for level in range(1, n_levels + 1)]


def cost(trained):
    return sum(epochs for _, _, epochs in trained)


HAND = {
    "a": (50, 60, 70),
    "b": (55, 58, 60),
    "c": (40, 70, 90),
    "d": (52, 56, 66),
    "e": (60, 61, 62),
    "f": (30, 31, 32),
}


def test_the_hand_worked_pyramid():
    """Six architectures in three batches of two: levels at 1, 2 and 4 epochs, half of each goes on."""
    names, levels = list(HAND), (1, 2, 4)
    run, scheduler = begin(Nosh(levels, 0.5, n_first=2, n_batch=2, n_pool=6), Listed(range(6)))

    def accuracy(key, _, epoch):
        return HAND[names[key]][levels.index(epoch)]

    states, spent = [], 0
    for _ in range(3):
        while True:  # until everybody of the batch waits or has finished
            due = run.next_to_resume()
            taken = [run.resume(due)] if due is not None else (run.take(1) if scheduler.pool.room else [])
            if not taken:
                break
            key = taken[0].proposal.id
            before = run.standing(key).epoch
            epoch = levels[0] if not before else levels[levels.index(before) + 1]
            spent += epoch - before
            report = Report({OBJECTIVE.metric: accuracy(key, None, epoch)}, epoch)
            run.report(key, report, done=epoch == levels[-1])
            if scheduler.pool.room and len(scheduler.pool) % 2 == 0 and not run.live:
                break
        members = scheduler.pool.members
        states.append((spent, {names[key]: member.level for key, member in members.items()}))
    assert [spent for spent, _ in states] == [5, 8, 13]
    assert states[0][1] == {"a": 1, "b": 3}
    assert states[1][1] == {"a": 1, "b": 3, "c": 1, "d": 2}
    assert states[2][1] == {"a": 1, "b": 3, "c": 1, "d": 2, "e": 3, "f": 1}
    order = sorted(scheduler.pool.members.items(), key=lambda item: (-item[1].level, item[1].cost))
    assert "".join(names[key] for key, _ in order) == "ebdacf"


@pytest.mark.parametrize(
    ("levels", "epochs"), [((10, 50, 100, 200), 5550), ((1, 2, 3, 12), 292), ((1, 2, 20, 50), 990)]
)
@pytest.mark.parametrize("slots", [1, 7])
def test_the_three_presets_cost_what_the_paper_spends(levels, epochs, slots):
    run, scheduler = begin(Nosh(levels), Listed(range(500)))
    rng = np.random.default_rng(3)
    values = rng.normal(size=(500, 300))
    trained = drive(run, lambda key, _, epoch: float(values[key, epoch]), levels, slots=slots)
    assert cost(trained) == epochs
    reached = [
        sum(member.level >= level for member in scheduler.pool.members.values()) for level in (1, 2, 3, 4)
    ]
    assert reached == [100, 50, 25, 13]
    assert len(run.paused) == 87, "nobody is discarded"


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(1, 6),
    st.integers(0, 20),
    st.sampled_from([0.3, 0.4, 0.5, 0.7, 1.0]),
    st.randoms(),
)
def test_every_batch_fills_its_quotas_exactly_and_levels_never_fall(n_first, n_batch, more, r, rng):
    levels = (1, 3, 4)
    n_pool = n_first + more
    spec = Nosh(levels, r, n_first=n_first, n_batch=n_batch, n_pool=n_pool)
    run, scheduler = begin(spec, Listed(range(100)))
    values = {(key, epoch): rng.random() for key in range(100) for epoch in levels}
    trained = drive(run, lambda key, _, epoch: values[key, epoch], levels, slots=3)
    quotas = [math.ceil(round(n_pool * r**level, 9)) for level in range(3)]
    assert reached(scheduler, 3) == quotas
    assert cost(trained) == sum(q * e for q, e in zip(quotas, np.diff(levels, prepend=0), strict=True))


def test_without_curves_that_cross_one_batch_makes_the_pyramid_of_the_best():
    levels = (1, 2, 4, 8)
    run, scheduler = begin(Nosh(levels, 0.5, n_first=40, n_pool=40), Listed(range(40)))
    worth = np.random.default_rng(0).permutation(40)
    drive(run, lambda key, _, epoch: float(worth[key] + epoch), levels, slots=4)
    ranked = sorted(range(40), key=lambda key: -worth[key])
    members = scheduler.pool.members
    for level, count in enumerate((40, 20, 10, 5), 1):
        assert {key for key in ranked if members[key].level >= level} == set(ranked[:count])


def test_with_ratio_1_everybody_is_trained_to_the_end():
    levels = (1, 5, 9)
    run, _ = begin(Nosh(levels, 1.0, n_first=4, n_batch=3, n_pool=10), Listed(range(10)))
    assert cost(drive(run, lambda key, *_: float(key), levels, slots=3)) == 10 * 9


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
@pytest.mark.parametrize("failing", [(), (0, 3, 7, 8)])
def test_a_run_killed_anywhere_ends_with_the_same_pyramid(mode, failing):
    levels = (1, 2, 4, 7)
    spec = Nosh(levels, 0.5, n_first=10, n_batch=5, n_pool=40, mode=mode)
    values = np.random.default_rng(5).normal(size=(99, 10))

    def accuracy(key, _, epoch):
        return float(values[key, epoch])

    journal = MemoryJournal()
    whole, scheduler = begin(spec, Listed(range(99)), journal)
    trained = drive(whole, accuracy, levels, failing=failing)
    rng = random.Random(1)
    again, replayed, epochs = MemoryJournal(), [], []
    while True:
        run, other = begin(spec, Listed(range(99)), again)
        run.replay(list(replayed))
        more = drive(run, accuracy, levels, stop_after=rng.randrange(1, 12), failing=failing)
        epochs += more
        replayed = list(again.records)
        if not more:
            break
    assert other.pool.members == scheduler.pool.members
    assert sorted(epochs) == sorted(trained), "no epoch is trained twice"
    assert set(run.paused) == set(whole.paused)


@pytest.mark.parametrize("slots", [2, 5, 30])
@pytest.mark.parametrize("failing", [(), (1, 2, 12, 30)])
def test_the_synchronous_pyramid_does_not_hang_on_how_many_trials_run_at_once(slots, failing):
    levels = (1, 2, 4, 7)
    spec = Nosh(levels, 0.4, n_first=10, n_batch=6, n_pool=40)
    values = np.random.default_rng(6).normal(size=(99, 10))

    def pyramid(n, order):
        run, scheduler = begin(spec, Listed(range(99)))
        drive(
            run,
            lambda key, _, epoch: float(values[key, epoch]),
            levels,
            slots=n,
            order=order,
            failing=failing,
        )
        return scheduler.pool.members

    assert pyramid(slots, random.Random(slots)) == pyramid(1, random.Random(0))


def test_a_failure_leaves_its_place_to_the_next():
    levels = (1, 2)
    run, scheduler = begin(Nosh(levels, 0.5, n_first=4, n_batch=1, n_pool=4), Listed(range(4)))
    drive(run, lambda key, *_: float(key), levels, failing=(3,))
    assert [member.level for member in scheduler.pool.members.values()] == [1, 2, 2, 1]
    assert scheduler.pool.members[3].failed


def test_a_search_that_ends_in_the_middle_of_a_batch_settles_what_there_is():
    levels = (1, 2)
    run, scheduler = begin(Nosh(levels, 0.5, n_first=4, n_batch=10, n_pool=50), Listed(range(7)))
    drive(run, lambda key, *_: float(key), levels, slots=3)
    assert len(scheduler.pool) == 7
    assert sum(member.level == 2 for member in scheduler.pool.members.values()) == 4


def test_the_asynchronous_pyramid_keeps_its_quotas_without_waiting():
    levels = (1, 2, 4)
    spec = Nosh(levels, 0.5, n_first=5, n_batch=5, n_pool=60, mode="asynchronous")
    run, scheduler = begin(spec, Listed(range(60)))
    values = np.random.default_rng(2).normal(size=(60, 5))
    drive(run, lambda key, _, epoch: float(values[key, epoch]), levels, slots=8, order=random.Random(4))
    reached = [
        sum(member.level >= level for member in scheduler.pool.members.values()) for level in (1, 2, 3)
    ]
    assert reached == [60, 30, 15]


def test_searchers_that_learn_hear_of_paused_trials():
    """Evolution, which waits for outcomes, goes on although few trials ever finish."""
    context = SearchContext(SPACE, OBJECTIVE, seed=1)
    searcher = RegularizedEvolution(n_proposals=60, parallelism=2).start(context)
    levels = (1, 2, 4)
    run, scheduler = begin(Nosh(levels, 0.5, n_first=20, n_batch=2, n_pool=40), searcher)
    drive(run, lambda key, cell, epoch: SPACE.index(cell) % 97 + epoch, levels, slots=2)
    assert len(scheduler.pool) == 40


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"levels": (10, 10, 20)}, "levels"),
        ({"levels": ()}, "levels"),
        ({"levels": (0, 3)}, "levels"),
        ({"r": 0}, "r"),
        ({"r": 1.1}, "r"),
        ({"n_first": 30, "n_pool": 20}, "n_pool"),
        ({"n_batch": 0}, "n_batch"),
    ],
)
def test_settings_that_make_no_pyramid_are_refused(options, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        Nosh(**options)
