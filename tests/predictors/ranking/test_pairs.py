"""Pairs: a strict weak order by (level, value), in which values of different levels are never compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.errors import InputError
from raynas.predictors.ranking.pairs import MOST_PAIRS, PairSet, dense_ranks

# Quarters, so that adding 50 rounds nothing.
KEYS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20).map(lambda n: n / 4)), min_size=1, max_size=25
)


def pairs_of(keys):
    return {tuple(pair) for pair in PairSet(dense_ranks(keys)).all().tolist()}


@given(KEYS)
def test_the_pairs_are_all_the_comparisons_of_different_keys(keys):
    members = range(len(keys))
    assert pairs_of(keys) == {(i, j) for i in members for j in members if keys[i] > keys[j]}


@given(KEYS)
def test_the_pairs_are_a_strict_weak_order(keys):
    pairs = pairs_of(keys)
    members = range(len(keys))
    assert all((loser, winner) not in pairs for winner, loser in pairs)
    # Of any pair and any third member, the third loses to the winner or beats the loser: no cycles.
    assert all((w, third) in pairs or (third, l) in pairs for w, l in pairs for third in members)  # noqa: E741


@given(KEYS, st.integers(0, 3))
def test_values_of_different_levels_are_never_compared(keys, level):
    raised = [(at, value + 50 * (at == level)) for at, value in keys]
    assert pairs_of(raised) == pairs_of(keys)


def test_a_hand_made_pyramid_gives_its_order_of_levels_then_values():
    levels = {"a": (1, 50), "b": (3, 60), "c": (1, 40), "d": (2, 56), "e": (3, 62), "f": (1, 30)}
    ranks = dense_ranks(list(levels.values()))
    assert "".join(np.array(list(levels))[np.argsort(-ranks)]) == "ebdacf"
    assert PairSet(ranks).size == 15


def test_diverged_members_lose_to_all_others_and_tie_with_each_other():
    assert pairs_of([(0, -np.inf), (0, 10.0), (0, -np.inf)]) == {(1, 0), (1, 2)}


def test_an_epoch_has_every_pair_once_in_another_order():
    pairs = PairSet(dense_ranks([(0, n % 7) for n in range(40)]))
    rng = np.random.default_rng(0)
    first, second = pairs.epoch(rng), pairs.epoch(rng)
    assert not np.array_equal(first, second)
    for epoch in (first, second):
        np.testing.assert_array_equal(np.unique(epoch, axis=0), np.unique(pairs.all(), axis=0))
        assert len(epoch) == pairs.size


def test_of_a_large_pool_an_epoch_draws_pairs_half_of_them_near():
    n = 400
    rng = np.random.default_rng(0)
    ranks = rng.permutation(n)
    pairs = PairSet(ranks)
    assert pairs.size == n * (n - 1) // 2 > MOST_PAIRS
    epoch = pairs.epoch(rng)
    gaps = ranks[epoch[:, 0]] - ranks[epoch[:, 1]]
    assert len(epoch) == MOST_PAIRS
    assert gaps.min() == 1
    # Half of the draws are within a tenth of the pool, and of the other half the share that such pairs have.
    near = sum(n - gap for gap in range(1, n // 10 + 1)) / pairs.size
    assert (gaps <= n // 10).mean() == pytest.approx(0.5 + 0.5 * near, abs=0.015)
    # All members win and lose.
    assert np.unique(epoch[:, 0]).size >= n - 5
    assert np.unique(epoch[:, 1]).size >= n - 5


def test_drawn_pairs_are_pairs_where_most_members_tie():
    keys = [(0, 0.0)] * 300 + [(1, float(n % 3)) for n in range(300)]
    ranks = dense_ranks(keys)
    epoch = PairSet(ranks).epoch(np.random.default_rng(1))
    assert (ranks[epoch[:, 0]] > ranks[epoch[:, 1]]).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([(0, 1.0), (0, float("nan"))], "architecture 1 .* NaN"),
        ([1.0, 2.0], r"\(level, value\)"),
        ([(0, 1.0, 2.0)], r"shape \(1, 3\)"),
    ],
)
def test_keys_that_are_no_order_are_refused(keys, message):
    with pytest.raises(InputError, match=message):
        dense_ranks(keys)
