"""Random search and its neighborhood-aware form, replayed on a table many times at once.

NA-RS (Wang et al. 2021, Algorithm 3): T uniform references, with replacement; around each a subset of its
neighborhood, drawn without replacement and holding the reference, is evaluated and aggregated; the reference
of the least value is returned, the first seen where several are. The paper charges n_nbr evaluations a step
and names no cache, which is the *nominal* budget; the *unique* budget counts an architecture once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raynas.analysis.neighborhoods import Aggregators, Floats, Indices
from raynas.errors import InputError

_KEYS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Draws:
    """What repeated searches evaluate.

    Attributes:
        members: ``(n_repeats, n_steps, n_nbr)`` indices, the reference first.
    """

    members: Indices

    @property
    def references(self) -> Indices:
        """``(n_repeats, n_steps)`` indices of the references."""
        return self.members[..., 0]

    @property
    def nominal(self) -> int:
        """Evaluations of one search: steps times members."""
        _, n_steps, n_nbr = self.members.shape
        return int(n_steps * n_nbr)

    @cached_property
    def unique(self) -> Floats:
        """``(n_repeats,)`` number of different architectures that each search evaluates."""
        ordered = np.sort(self.members.reshape(len(self.members), -1), axis=1)
        count: Floats = 1.0 + (np.diff(ordered, axis=1) != 0).sum(axis=1)
        return count


def draw(rng: np.random.Generator, members: Indices, *, repeats: int, n_steps: int, n_nbr: int) -> Draws:
    """Draws searches.

    Args:
        rng: The references are its first draw, so that equal generators give equal references for any n_nbr.
        members: ``(size, n_ball)`` neighborhoods, each architecture first in its own.
        repeats: Searches.
        n_steps: References of each, the paper's T.
        n_nbr: Architectures evaluated at each, the reference included; 1 is plain random search.

    Raises:
        InputError: The neighborhood is smaller than n_nbr.
    """
    size, n_ball = members.shape
    if not 1 <= n_nbr <= n_ball:
        raise InputError(
            f"n_nbr: {n_nbr} must be from 1 to the {n_ball} architectures of a neighborhood; use a larger d "
            "for more"
        )
    references = rng.integers(size, size=(repeats, n_steps), dtype=np.int32)
    if n_nbr == 1:
        return Draws(references[..., np.newaxis])
    if n_nbr == n_ball:
        return Draws(members[references])
    drawn = np.empty((repeats, n_steps, n_nbr), dtype=np.int32)
    drawn[..., 0] = references
    at_once = max(1, _KEYS_AT_ONCE // (n_steps * n_ball))
    for start in range(0, repeats, at_once):
        some = slice(start, start + at_once)
        # The places of the least of random keys are a uniform subset.
        keys = rng.random((*references[some].shape, n_ball - 1))
        places = np.argpartition(keys, n_nbr - 2, axis=-1)[..., : n_nbr - 1] + 1
        drawn[some, :, 1:] = members[references[some][..., np.newaxis], places]
    return Draws(drawn)


def found(costs: Floats, draws: Draws, aggregators: Aggregators) -> dict[str, Indices]:
    """What NA-RS returns with each aggregator, all of them from the same draws.

    Args:
        costs: ``(size,)`` search signal, lower is better.
        draws: The searches.
        aggregators: By name.

    Returns:
        ``(n_repeats,)`` indices of the returned references, by the aggregator's name.
    """
    around = costs[draws.members]
    return {name: _first_least(np.asarray(of(around)), draws.references) for name, of in aggregators.items()}


def best_drawn(costs: Floats, references: Indices) -> Indices:
    """What plain random search returns: of the architectures drawn, the first of the least cost.

    Args:
        costs: ``(size,)``.
        references: ``(n_repeats, n_draws)`` indices.

    Returns:
        ``(n_repeats,)`` indices.
    """
    return _first_least(costs[references], references)


def expected_unique(size: int, *, n_steps: int, n_nbr: int) -> float:
    """Expected unique budget, ``M (1 - (1 - n / M) ** T)`` for a space of M architectures.

    Exact where every architecture lies in equally many neighborhoods.
    """
    return float(size * (1 - (1 - n_nbr / size) ** n_steps))


def _first_least(scores: Floats, references: Indices) -> Indices:
    first = np.argmin(scores, axis=1)
    return np.take_along_axis(references, first[:, np.newaxis], axis=1)[:, 0]
