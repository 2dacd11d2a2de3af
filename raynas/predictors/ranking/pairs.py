"""Pairs of a pool in which one member is known to be better (RANK-NOSH; arXiv 2108.08019).

A member's key is (level, value). The higher level wins, whatever the values; within a level the higher value
wins; equal keys make no pair. So values of different levels, such as accuracies after different epochs, are
never compared, and the pairs are a strict weak order: no cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError

MOST_PAIRS = 20_000
"""Pairs an epoch; of a pool that has more, as many are drawn anew for each epoch."""

NEAR = 0.1
"""Share of the pool, directly below a member in the order, that counts as near to it."""

Pairs: TypeAlias = npt.NDArray[np.intp]
"""``(n, 2)`` members of a pool by their positions, the better one first."""


def dense_ranks(keys: Sequence[tuple[float, float]] | npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Places in the order, from 0 for the worst; members of equal keys have the same.

    Args:
        keys: ``(n, 2)`` levels and values, higher is better; a value may be infinite.

    Raises:
        InputError: A key is not a level and a value, or one of them is NaN.
    """
    table = np.asarray(keys, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 2 or not len(table):
        raise InputError(
            f"keys are (level, value), one for each architecture; got an array of the shape {table.shape}"
        )
    if np.isnan(table).any():
        member = int(np.isnan(table).any(axis=1).argmax())
        raise InputError(
            f"the key of architecture {member} is {tuple(table[member].tolist())}, and NaN has no place in "
            "an order; leave that architecture out"
        )
    order = np.lexsort((table[:, 1], table[:, 0]))
    higher = (table[order[1:]] != table[order[:-1]]).any(axis=1)
    ranks = np.empty(len(table), dtype=np.intp)
    ranks[order] = np.concatenate([[0], np.cumsum(higher)])
    return ranks


class PairSet:
    """The pairs of a pool, counted and drawn without being listed.

    Args:
        ranks: ``(n_members,)`` as ``dense_ranks`` gives them.

    Attributes:
        size: Number of pairs.
    """

    def __init__(self, ranks: npt.NDArray[np.intp]) -> None:
        self._order = np.argsort(ranks, kind="stable")
        ascending = ranks[self._order]
        # A winner at a place of the order beats all members below the first of its rank.
        self._n_below = np.searchsorted(ascending, ascending)
        self.size = int(self._n_below.sum())

    def all(self) -> Pairs:
        """Every pair, in a fixed order."""
        return self._pairs(self._n_below, np.arange(self.size))

    def epoch(self, rng: np.random.Generator) -> Pairs:
        """The pairs of one epoch, shuffled: all of them; or ``MOST_PAIRS``, where there are more.

        Those are drawn with repetition, half of them uniformly and half from the near pairs: a winner with
        one of the tenth of the pool directly below it, its neighbours in the same or the next lower level.
        """
        if self.size <= MOST_PAIRS:
            return rng.permutation(self.all())
        reach = max(1, int(NEAR * len(self._order)))
        drawn = [
            self._pairs(n_losers, rng.integers(n_losers.sum(), size=MOST_PAIRS // 2))
            for n_losers in (self._n_below, np.minimum(self._n_below, reach))
        ]
        return rng.permutation(np.concatenate(drawn))

    def _pairs(self, n_losers: npt.NDArray[np.intp], numbers: npt.NDArray[np.integer]) -> Pairs:
        """Pairs by their number, where the winner at each place has that many losers, directly below it."""
        ends = np.cumsum(n_losers)
        winners = np.searchsorted(ends, numbers, side="right")
        losers = self._n_below[winners] - (ends[winners] - numbers)
        return self._order[np.stack([winners, losers], axis=1)]
