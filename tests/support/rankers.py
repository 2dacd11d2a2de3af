"""Rankers that a user could have written: one that knows the truth, one that knows nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raynas.spaces import get_space


def worth(architecture):
    """A made-up final accuracy, in [0, 100)."""
    return get_space(architecture.space).index(architecture) * 7919 % 10007 / 100.07


@dataclass(frozen=True)
class Oracle:
    """Scores by the truth, and remembers what it was fitted to."""

    def fit(self, architectures, keys, *, seed):
        Oracle.seen.append((list(architectures), list(keys), seed))
        return self

    def score(self, architectures):
        return np.array([worth(one) for one in architectures])


Oracle.seen = []


@dataclass(frozen=True)
class Random:
    """Scores at random."""

    def fit(self, architectures, keys, *, seed):
        return _Drawn(seed)


class _Drawn:
    def __init__(self, seed):
        self._seed = seed

    def score(self, architectures):
        return np.random.default_rng(self._seed).random(len(architectures))
