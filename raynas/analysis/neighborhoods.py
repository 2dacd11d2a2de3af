"""Neighborhoods of a whole space at once (neighborhood-aware NAS; Wang et al., BMVC 2021).

The neighborhood of an architecture holds every architecture within distance d, itself included: 25 in
NAS-Bench-201 at d = 1. It is a row of indices, so all 15,625 are one array and an aggregator is one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.spaces import SearchSpace

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int32]
Aggregators: TypeAlias = Mapping[str, Callable[[npt.NDArray[Any]], Any]]
"""By name; each maps costs ``(..., n)``, element 0 the reference's, to ``(...)``."""

BASE = "base"
"""The criterion that looks at the reference alone."""


def balls(space: SearchSpace, d: int) -> Indices:
    """``(size, n_ball)`` indices of each architecture's neighborhood, itself first.

    Args:
        space: Small enough to enumerate.
        d: Radius; 0 leaves each architecture alone.

    Raises:
        InputError: d is negative or beyond the edges, or the space cannot be enumerated.
    """
    if not 0 <= d <= space.n_edges:
        raise InputError(f"d: {d} is no radius in {space.name}; give one from 0 to its {space.n_edges} edges")
    return np.concatenate([space.neighbor_indices(radius) for radius in range(d + 1)], axis=1)


def criteria(costs: Floats, members: Indices, aggregators: Aggregators) -> dict[str, Floats]:
    """What each criterion would rank the whole space by; lower is better.

    Args:
        costs: ``(size,)`` search signal, lower is better.
        members: ``(size, n_ball)``, as ``balls`` gives them.
        aggregators: By name.

    Returns:
        ``(size,)`` for ``base``, the costs themselves, then for each aggregator, in the unit of the costs.
    """
    around = costs[members]
    return {BASE: costs, **{name: np.asarray(of(around), dtype=float) for name, of in aggregators.items()}}


def neighbor_variance(costs: Floats, members: Indices) -> Floats:
    """``(size,)`` variance of the costs over each neighborhood, the reference included (ddof 0).

    Args:
        costs: ``(size,)``; the result is in their unit squared.
        members: ``(size, n_ball)``.
    """
    # From the reference, so that equal costs vary by exactly nothing.
    variance: Floats = np.var(costs[members] - costs[:, np.newaxis], axis=1)
    return variance
