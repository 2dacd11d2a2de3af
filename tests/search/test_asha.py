"""Successive halving against what its paper says, computed the slow way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.search.asktell import Objective, Report
from raynas.search.scheduler.asha import Asha

OBJECTIVE = Objective("valid_accuracy_pct", "max")
values = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=60)


def report(value, epoch):
    return Report({OBJECTIVE.metric: value}, epoch)


def best_share(arrivals, eta):
    """Trials of the best floor(n / eta) values; of equal ones the earliest."""
    ranked = sorted(arrivals, key=lambda trial: (-arrivals[trial], list(arrivals).index(trial)))
    return ranked[: len(arrivals) // eta]


@settings(max_examples=60, deadline=None)
@given(values, st.integers(2, 4), st.randoms(use_true_random=False))
def test_promotion_resumes_the_best_on_the_highest_rung_that_has_one(found, eta, random):
    scheduler = Asha(eta=eta).start(OBJECTIVE)
    rungs: list[dict[int, float]] = []
    paused: dict[int, int] = {}
    waiting = list(enumerate(found))
    while waiting:
        due = None
        for height in range(len(rungs) - 1, -1, -1):
            candidates = [key for key in best_share(rungs[height], eta) if paused.get(key) == height]
            if candidates:
                due = candidates[0]
                break
        assert scheduler.next_to_run((), paused.keys()) == due
        if due is not None and random.random() < 0.7:
            height = paused.pop(due) + 1
            trial, value = due, found[due] + random.choice([-3, 0, 3])
        else:
            trial, value = waiting.pop(0)
            height = 0
        while len(rungs) <= height:
            rungs.append({})
        rungs[height][trial] = value
        assert scheduler.report(trial, report(value, eta**height)) == "pause"
        paused[trial] = height


@settings(max_examples=60, deadline=None)
@given(values, st.integers(2, 4))
def test_stopping_lets_the_best_share_go_on_and_before_there_is_one_the_best(found, eta):
    scheduler = Asha(eta=eta, grace=2, variant="stopping").start(OBJECTIVE)
    arrivals: dict[int, float] = {}
    for trial, value in enumerate(found):
        assert scheduler.report(trial, report(value, 1)) == "continue", "below the first rung"
        arrivals[trial] = value
        goes_on = trial in best_share(arrivals, eta)
        if len(arrivals) < eta:
            goes_on = trial == min(arrivals, key=lambda key: (-arrivals[key], key))
        assert scheduler.report(trial, report(value, 2)) == ("continue" if goes_on else "stop")


def test_a_sweep_of_rising_values_promotes_a_share_of_each_rung():
    """27 trials that arrive from the worst to the best: as Li et al.'s example, 27, 9, 3 and 1."""
    scheduler = Asha(eta=3).start(Objective("loss", "min"))
    paused: dict[int, int] = {}
    heights = dict.fromkeys(range(4), 0)
    for trial in range(27):
        scheduler.report(trial, Report({"loss": float(trial)}, 1))
        paused[trial] = 0
        heights[0] += 1
        while (due := scheduler.next_to_run((), paused.keys())) is not None:
            paused[due] += 1
            heights[paused[due]] += 1
            scheduler.report(due, Report({"loss": float(due)}, 3 ** paused[due]))
    assert list(heights.values()) == [27, 9, 3, 1]
    assert paused[0] == 3


def test_a_trial_that_has_gone_on_is_not_promoted_from_its_old_rung_again():
    scheduler = Asha(eta=2).start(OBJECTIVE)
    for trial, value in ((0, 90.0), (1, 80.0)):
        scheduler.report(trial, report(value, 1))
    assert scheduler.next_to_run((), {0, 1}) == 0
    scheduler.report(0, report(95.0, 2))  # and pauses again before anyone asks
    assert scheduler.next_to_run((), {0, 1}) is None


def test_reports_between_rungs_change_nothing_and_are_announced_as_such():
    scheduler = Asha(eta=3, grace=2).start(OBJECTIVE)
    due = [scheduler.next_decision(epoch) for epoch in (0, 1, 2, 5, 6, 17, 18)]
    assert due == [2, 2, 6, 6, 18, 18, 54]
    decisions = [scheduler.report(0, report(50.0, epoch)) for epoch in range(1, 7)]
    assert decisions == ["continue", "pause", "continue", "continue", "continue", "pause"]


def test_a_value_that_is_no_number_ranks_last():
    scheduler = Asha(eta=2).start(OBJECTIVE)
    scheduler.report(0, report(math.nan, 1))
    scheduler.report(1, report(10.0, 1))
    assert scheduler.next_to_run((), {0, 1}) == 1


@pytest.mark.parametrize("options", [{"eta": 1}, {"grace": 0}])
def test_settings_that_halve_nothing_are_refused(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: "):
        Asha(**options)
