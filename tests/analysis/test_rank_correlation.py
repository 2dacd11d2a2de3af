"""Kendall's tau-b by counting pairs, in samples, and between seeds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.analysis.rank_correlation import between_seeds, kendall_tau, sampled_tau, samples


def counted(x, y):
    """Tau-b from its definition."""
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(range(len(x)), 2)]
    agreeing = sum(a * b for a, b in signs)
    return agreeing / np.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))


pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


@settings(deadline=None)
@given(pairs)
def test_tau_is_that_of_counted_pairs_ties_and_all(values):
    x, y = np.array(values, dtype=float).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(kendall_tau(x, y))
        expected = np.nan
    else:
        expected = counted(x, y)
        assert kendall_tau(x, y) == pytest.approx(expected)
    sampled = sampled_tau(x[None], y[None], np.arange(len(x))[None])
    assert sampled[0, 0, 0] == pytest.approx(expected, nan_ok=True)


def test_samples_of_several_criteria_and_truths_are_each_their_own_tau():
    rng = np.random.default_rng(0)
    xs, ys = rng.integers(0, 50, size=(3, 400)).astype(float), rng.normal(size=(2, 400))
    some = samples(rng, 400, n=100, repeats=7)
    assert all(len(set(row)) == 100 for row in some.tolist())
    found = sampled_tau(xs, ys, some)
    for repeat, criterion, truth in np.ndindex(7, 3, 2):
        expected = kendall_tau(xs[criterion, some[repeat]], ys[truth, some[repeat]])
        assert found[repeat, criterion, truth] == pytest.approx(expected)


def test_seeds_agree_where_both_have_runs():
    rng = np.random.default_rng(0)
    curves = rng.normal(50, 10, size=(60, 1, 1)) + rng.normal(size=(60, 3, 2))
    curves[:20, 2] = np.nan
    frame = between_seeds(curves, (5, 9), chosen=[9])
    one, two, three = curves[:, :, 1].T
    taus = [kendall_tau(one, two), kendall_tau(one[20:], three[20:]), kendall_tau(two[20:], three[20:])]
    variances = [np.var(row[~np.isnan(row)], ddof=1) for row in curves[:, :, 1]]
    assert frame["epoch"].tolist() == [9]
    assert frame["tau"][0] == pytest.approx(np.mean(taus))
    assert frame["noise"][0] == pytest.approx(np.sqrt(np.mean(variances)))


def test_one_seed_agrees_with_none():
    assert between_seeds(np.zeros((4, 1, 1)), (1,), chosen=[1]).empty
