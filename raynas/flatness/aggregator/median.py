"""Median over a neighborhood (neighborhood-aware NAS; Wang et al. 2021, Sec. 3).

Of an even number of members it is the mean of the two in the middle, a case on which the paper is silent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Median:
    """The median cost of the members; the only aggregator that survives a minority of diverged members."""

    def __call__(self, costs: np.ndarray) -> np.ndarray | float:
        """Aggregates neighborhoods.

        Args:
            costs: ``(..., n)``, lower is better; element 0 is the reference; ``inf`` where a member diverged.

        Returns:
            ``(...)`` in the unit of the costs; ``inf`` where half of the members or more are.
        """
        ordered = np.sort(np.asarray(costs, dtype=float), axis=-1)
        n = ordered.shape[-1]
        median: np.ndarray | float = (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2
        return median
