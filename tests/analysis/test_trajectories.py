"""Incumbents, curves and their summaries on examples worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.analysis.trajectories import (
    cost_grid,
    incumbents,
    mean_curves,
    p_above,
    steps,
    summary,
)
from raynas.errors import InputError

NAN = math.nan


def found(values, epochs=None, proposals=None, mode="max"):
    n = len(values)
    return incumbents(values, epochs=epochs or [20] * n, proposals=proposals or range(n), mode=mode).tolist()


def test_the_incumbent_is_the_best_so_far():
    assert found([80, 90, 85, 95]) == [0, 1, 1, 3]
    assert found([2.0, 1.0, 1.5, 0.5], mode="min") == [0, 1, 1, 3]


def test_of_equal_readings_the_earliest_proposal_stays():
    assert found([90, 90, 90]) == [0, 0, 0]


def test_of_equal_readings_the_earliest_proposal_wins_even_if_it_comes_later():
    """On several workers outcomes arrive in another order than the proposals were made in."""
    assert found([90, 90], proposals=[5, 2]) == [0, 1]


def test_a_failed_trial_is_never_the_incumbent():
    assert found([NAN, 80, NAN, 90]) == [-1, 1, 1, 3]
    assert found([NAN, NAN]) == [-1, -1]


def test_a_reading_at_a_higher_epoch_displaces_a_better_one_at_a_lower():
    """Trials 0, 1, 2 pause at epoch 1; 0 goes on to 3 and is read worse than 1 waits with."""
    assert found([60, 70, 50, 65], epochs=[1, 1, 1, 3], proposals=[0, 1, 2, 0]) == [0, 1, 1, 3]


def test_a_lower_epoch_never_counts_again_once_a_higher_was_read():
    readings = [60, 65, 99, 64, 66]
    assert found(readings, epochs=[1, 3, 1, 3, 3], proposals=[0, 0, 1, 2, 3]) == [0, 1, 1, 1, 4]


def test_a_failure_at_a_higher_epoch_does_not_raise_the_level():
    assert found([60, NAN, 70], epochs=[1, 3, 1], proposals=[0, 0, 1]) == [0, 0, 2]


def test_no_readings_give_no_incumbents():
    assert found([]) == []


@given(st.lists(st.integers(0, 9), min_size=1))
def test_at_one_epoch_the_incumbent_is_the_running_maximum(values):
    assert [values[place] for place in found(values)] == np.maximum.accumulate(values).tolist()


def test_a_curve_changes_at_its_costs_and_is_unknown_before_the_first():
    curve = steps(np.array([5, 10, 15, 20, 99]), np.array([10.0, 20.0]), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(curve, [NAN, 1, 1, 2, 2])


def test_a_proposal_reused_at_no_cost_changes_the_curve_where_it_stands():
    """Two readings at the same cost: the second was free, and is what is known there."""
    curve = steps(np.array([10.0]), np.array([10.0, 10.0]), np.array([1.0, 2.0]))
    assert curve.tolist() == [2.0]


def test_a_search_that_learned_nothing_has_no_values():
    assert np.isnan(steps(np.array([1.0, 2.0]), np.array([]), np.array([]))).all()


def test_costs_that_go_back_are_refused():
    with pytest.raises(InputError, match="ascend"):
        steps(np.array([1.0]), np.array([2.0, 1.0]), np.array([1.0, 2.0]))


def test_a_grid_has_equal_ratios_both_ends_and_the_marks_between():
    assert cost_grid(1, 100, 3, marks=[25, 1000]) == pytest.approx([1, 10, 25, 100])


def curves(rows):
    names = ["method", "axis", "repeat", "cost", "value"]
    return pd.DataFrame([(method, "epochs", *rest) for method, *rest in rows], columns=names)


EXAMPLE = [
    ("b", 0, 1.0, NAN),
    ("b", 0, 2.0, 90.0),
    ("b", 1, 1.0, 80.0),
    ("b", 1, 2.0, 94.0),
    ("a", 0, 1.0, 70.0),
    ("a", 0, 2.0, 71.0),
    ("a", 1, 1.0, 74.0),
    ("a", 1, 2.0, 71.0),
]


def test_a_mean_curve_begins_where_every_repeat_has_a_value():
    means = mean_curves(curves(EXAMPLE), "value")
    assert list(zip(means["method"], means["cost"], means["mean"], strict=True)) == [
        ("b", 2.0, 92.0),
        ("a", 1.0, 72.0),
        ("a", 2.0, 71.0),
    ]
    # 90 and 94: the variance is 8 with ddof 1, and 8 / 2 the square of the error
    assert means["standard_error"].tolist() == pytest.approx([2.0, 2.0, 0.0])
    assert (means["n_repeats"] == 2).all()


def test_a_mean_curve_ends_where_the_first_repeat_ends():
    short = [row for row in EXAMPLE if row[:3] != ("a", 1, 2.0)]
    means = mean_curves(curves(short), "value")
    assert means.loc[means["method"] == "a", "cost"].tolist() == [1.0]


def test_a_summary_has_mean_spread_and_regret_at_the_budgets():
    made = summary(curves(EXAMPLE), "value", axis="epochs", budgets={0.5: 1.0, 1.0: 2.0}, optimum=95.0)
    rows = made.set_index(["method", "fraction"])
    assert rows.index.tolist() == [("b", 0.5), ("b", 1.0), ("a", 0.5), ("a", 1.0)]
    assert rows.loc[("b", 1.0), ["cost", "mean", "std", "n_repeats", "optimum", "regret"]].tolist() == [
        2.0,
        92.0,
        2.0,
        2,
        95.0,
        3.0,
    ]
    assert rows.loc[("b", 0.5), ["mean", "n_repeats"]].tolist() == [80.0, 1]


def test_five_pairs_that_all_rose_have_the_least_p_there_is():
    """All 2 ** 5 signs are equally likely under the null."""
    assert p_above([1.0, 2, 3, 4, 5], [0.0, 0, 0, 0, 0]) == pytest.approx(1 / 32)
    assert p_above([0.0, 0, 0, 0, 0], [1.0, 2, 3, 4, 5]) == pytest.approx(1.0)


def test_the_test_is_paired():
    """A shift of one that repeats 20 times is clear, whatever the repeats have in common."""
    common = np.linspace(0, 1000, 20)
    assert p_above(common + np.linspace(0.9, 1.1, 20), common) < 1e-5


def test_equal_results_are_no_evidence():
    assert p_above([90.0, 91.0], [90.0, 91.0]) == 1.0
    assert p_above([0.1 + 0.2], [0.3]) == 1.0  # the last bit is no difference


def test_ties_and_zeros_keep_p_between_0_and_1():
    p = p_above([1.0, 1, 1, 0, 0, -1, 2], [0.0] * 7)
    assert 0 < p < 0.5
