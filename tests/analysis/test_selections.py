"""Lists of the best, with ties told apart by lot, and what they are worth."""

from __future__ import annotations

import numpy as np
import pytest

from raynas.analysis.selections import best, halves, judge
from raynas.errors import InputError


def test_the_best_are_those_of_a_sort_where_no_tie_is_in_the_way():
    scores = np.random.default_rng(0).permutation(500).astype(float)
    chosen = best(np.random.default_rng(1), scores, 40, 9)
    assert [sorted(row) for row in chosen.tolist()] == [sorted(np.argsort(scores)[:40].tolist())] * 9


def test_each_of_the_tied_is_taken_equally_often():
    scores = np.array([5.0, 1.0, 3.0, 3.0, 3.0, 3.0, 9.0])
    chosen = best(np.random.default_rng(0), scores, 3, 6_000)
    assert chosen.shape == (6_000, 3)
    assert (chosen == 1).sum() == 6_000
    counts = np.bincount(chosen.ravel(), minlength=7)[[2, 3, 4, 5]]
    assert counts.sum() == 12_000
    assert abs(counts - 3_000).max() < 5 * np.sqrt(1_500)  # five standard deviations


@pytest.mark.parametrize("n", [0, 8])
def test_a_list_longer_than_the_space_is_refused(n):
    with pytest.raises(InputError, match="n_top: "):
        best(np.random.default_rng(0), np.zeros(7), n, 1)


def test_the_flat_half_has_the_least_spread():
    spread = np.array([3.0, 1.0, 2.0, 9.0, 0.0])
    flat, sharp = halves(np.array([[0, 1, 2, 4], [3, 2, 1, 0]]), spread)
    assert [sorted(row) for row in flat.tolist()] == [[1, 4], [1, 2]]
    assert [sorted(row) for row in sharp.tolist()] == [[0, 2], [0, 3]]


def test_worth_is_told_within_and_between_repeats_with_ddof_0():
    row = judge(np.array([[0, 1], [2, 3]]), {"x": np.array([1.0, 3.0, 5.0, 9.0])}).iloc[0]
    assert row["mean"] == 4.5
    assert row["std_members"] == pytest.approx(np.sqrt((1 + 4) / 2))
    assert row["std_repeats"] == 2.5
    assert (row["n_members"], row["n_repeats"]) == (2, 2)
