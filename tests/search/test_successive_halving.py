"""Synchronous successive halving against counts worked by hand, and that no cohort waits for nobody."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import OBJECTIVE, drive

from raynas.journal import MemoryJournal
from raynas.search.asktell import Objective, Report, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.nosh import Nosh
from raynas.search.scheduler.successive_halving import Bracket, SuccessiveHalving
from raynas.search.searcher.random_search import RandomSearch
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")
R = 20
EPOCHS = (1, 3, 9, R)


def begin(spec, n_proposals=500, journal=None):
    searcher = RandomSearch(n_proposals).start(SearchContext(SPACE, OBJECTIVE))
    return Run(searcher, spec.start(OBJECTIVE), OBJECTIVE, journal or MemoryJournal(), clock=lambda: 0.0)


def play(spec, worth, n_proposals, *, epochs=EPOCHS, **options):
    """Trainings whose value is their trial's worth; how far each trial was trained, and epochs in all."""
    run = begin(spec, n_proposals)
    trained = drive(run, lambda key, _, epoch: float(worth[key]), epochs, **options)
    reached = {key: max(epoch for trial, epoch, _ in trained if trial == key) for key, *_ in trained}
    return run, reached, sum(epochs for *_, epochs in trained)


def test_a_cohort_of_27_is_halved_as_by_hand():
    """27 at epoch 1, the best 9 to 3, 3 to 9, and one to the end: 27 + 9 * 2 + 3 * 6 + 11 epochs."""
    worth = np.random.default_rng(0).permutation(27)
    run, reached, epochs = play(SuccessiveHalving(), worth, 27, slots=4)
    assert epochs == 27 + 18 + 18 + 11
    best = sorted(range(27), key=lambda key: -worth[key])
    assert [reached[key] for key in best] == [20] + [9] * 2 + [3] * 6 + [1] * 18
    assert run.best.proposal_id == best[0]


@pytest.mark.parametrize(
    ("spec", "bracket"),
    [
        (SuccessiveHalving(), Bracket(27, (1, 3, 9))),
        (SuccessiveHalving(n=26), Bracket(26, (1, 3))),  # 26, 8, and 2 to the end
        (SuccessiveHalving(n=243), Bracket(243, (1, 3, 9, 27, 81))),
        (SuccessiveHalving(n=16, eta=4, grace=5), Bracket(16, (5, 20))),
        (SuccessiveHalving(n=3), Bracket(3, (1,))),
    ],
)
def test_rungs_are_powers_of_eta_until_fewer_than_eta_are_left(spec, bracket):
    assert spec.bracket == bracket


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), st.integers(2, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_rung_of_every_cohort_takes_the_best_share_of_the_one_below(n, eta, slots, rng):
    if n < eta:
        return
    spec, n_cohorts = SuccessiveHalving(n=n, eta=eta), 3
    rungs = spec.bracket.rungs
    epochs = (*rungs, rungs[-1] + 7)
    worth = [rng.randrange(10) for _ in range(n_cohorts * n)]
    run, reached, total = play(spec, worth, n_cohorts * n, epochs=epochs, slots=slots, order=rng)
    n_new = run.counts.unique
    assert n_new >= n_cohorts * n - 20, "one that was drawn again takes its earlier result"
    keys = sorted(reached)
    for first in range(0, n_new - n + 1, n):
        cohort = keys[first : first + n]
        best = sorted(cohort, key=lambda key: (-worth[key], key))
        counts = [n // eta**halvings for halvings in range(len(rungs) + 1)]
        expected = [epochs[sum(place < count for count in counts) - 1] for place in range(n)]
        assert [reached[key] for key in best] == expected
    assert total == sum(reached.values()), "nobody trains an epoch twice"


def test_with_all_admitted_at_once_nosh_makes_the_same_pyramid():
    worth = np.random.default_rng(3).permutation(64)
    _, reached, epochs = play(SuccessiveHalving(n=64, eta=2), worth, 64, epochs=(1, 2, 4, 8, 16, 32, 40))
    pyramid = Nosh((1, 2, 4, 8, 16, 32, 40), 0.5, n_first=64, n_pool=64)
    _, of_nosh, as_many = play(pyramid, worth, 64, epochs=(1, 2, 4, 8, 16, 32, 40))
    assert reached == of_nosh
    assert epochs == as_many


@pytest.mark.parametrize("failing", [(), (1, 4, 8)])
def test_decisions_do_not_hang_on_how_many_trials_run_at_once(failing):
    worth = np.random.default_rng(1).integers(0, 30, size=100)
    spec = SuccessiveHalving(n=12, eta=2)

    def ends(slots, order):
        return play(spec, worth, 60, epochs=(1, 2, 4, 9), slots=slots, order=order, failing=failing)[1]

    assert ends(1, random.Random(0)) == ends(7, random.Random(3)) == ends(40, random.Random(5))


def test_a_failure_leaves_its_place_to_the_next():
    run, reached, _ = play(SuccessiveHalving(n=9), range(9), 9, failing=(8, 7))
    # both are among the best three, fail on their way to the next rung, and the third goes to the end alone
    assert {key for key in range(9) if reached[key] == R} == {6}
    assert run.counts.failed == 2


def test_when_all_of_a_rung_fail_the_next_cohort_begins():
    run, reached, _ = play(SuccessiveHalving(n=9), range(18), 18, failing=(6, 7, 8))
    assert Counter(reached[key] for key in range(9)) == {1: 6, 3: 3}, "three fail on their way to 3"
    assert Counter(reached[key] for key in range(9, 18)) == {1: 6, 3: 2, R: 1}
    assert run.best.proposal_id == 17


def test_a_cohort_that_the_search_cuts_short_is_halved_as_it_is():
    _, reached, _ = play(SuccessiveHalving(), range(35), 35, slots=5)
    second = Counter(reached[key] for key in range(27, 35))
    assert second == {1: 6, 3: 1, R: 1}, "8, of which 2 go on, and of those one at least"


def test_the_next_cohort_begins_beside_the_last_stretch_of_the_one_before():
    run = begin(SuccessiveHalving(n=3))
    for assignment in run.take(9):
        key = assignment.proposal.id
        run.report(key, Report({OBJECTIVE.metric: float(key)}, 1), done=False)
    assert run.paused == (0, 1, 2), "three begin, and six more wait for them"
    run.resume(run.next_to_resume())
    assert [assignment.proposal.id for assignment in run.take(9)] == [3, 4, 5]
    for epoch in range(2, R):
        assert run.report(2, Report({OBJECTIVE.metric: 0.0}, epoch), done=False) == "continue"
    assert run.report(2, Report({OBJECTIVE.metric: 0.0}, R), done=True) == "stop"


def test_a_run_killed_anywhere_ends_as_it_would_have():
    spec, values = SuccessiveHalving(n=9), np.random.default_rng(5).normal(size=(60, R + 1))

    def accuracy(key, _, epoch):
        return float(values[key, epoch])

    whole = begin(spec, 40)
    trained = drive(whole, accuracy, EPOCHS, slots=2)
    rng, again, epochs = random.Random(1), MemoryJournal(), []
    while True:
        run = begin(spec, 40, again)
        run.replay(list(again.records))
        more = drive(run, accuracy, EPOCHS, slots=2, stop_after=rng.randrange(1, 12))
        epochs += more
        if not more:
            break
    assert sorted(epochs) == sorted(trained)
    assert set(run.paused) == set(whole.paused)
    assert run.best == whole.best


def test_trials_that_report_rarely_pass_several_rungs_at_once():
    """Reports at epochs 1, 5 and 20 only: rung 3 is read at 5, rung 9 at the end."""
    worth = np.random.default_rng(2).permutation(54)
    _, reached, _ = play(SuccessiveHalving(), worth, 54, epochs=(1, 5, R), slots=3)
    for cohort in (range(27), range(27, 54)):
        best = sorted(cohort, key=lambda key: -worth[key])
        assert [reached[key] for key in best] == [R] * 3 + [5] * 6 + [1] * 18


def test_reports_between_rungs_change_nothing_and_are_announced_as_such():
    scheduler = SuccessiveHalving(n=9, eta=3, grace=2).start(OBJECTIVE)
    assert [scheduler.next_decision(epoch) for epoch in (0, 1, 2, 5, 6)] == [2, 2, 6, 6, None]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_are_those_of_the_objective_and_a_value_that_is_no_number_is_last(mode):
    objective = Objective("valid_loss", mode)
    scheduler = SuccessiveHalving(n=4, eta=2).start(objective)
    run = Run(RandomSearch(4).start(SearchContext(SPACE, objective)), scheduler, objective, MemoryJournal())
    for assignment, value in zip(run.take(4), (math.nan, 2.0, 1.0, 3.0), strict=True):
        run.report(assignment.proposal.id, Report({"valid_loss": value}, 1), done=False)
    first = run.next_to_resume()
    assert first == {"min": 2, "max": 3}[mode]
    run.resume(first)
    assert run.next_to_resume() == 1


@pytest.mark.parametrize(
    ("options", "field"), [({"eta": 1}, "eta"), ({"grace": 0}, "grace"), ({"n": 2}, "n"), ({"n": 0}, "n")]
)
def test_settings_that_halve_nothing_are_refused(options, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        SuccessiveHalving(**options)


def test_rungs_beyond_the_end_of_the_trainings_are_refused():
    assert not list(SuccessiveHalving(n=27).epoch_problems(9))
    ((field, message),) = SuccessiveHalving(n=27).epoch_problems(8)
    assert field == "n"
    assert "up to epoch 9, and the workload ends at 8; give fewer" in message
