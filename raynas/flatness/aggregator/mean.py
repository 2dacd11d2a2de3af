"""Mean over a neighborhood (neighborhood-aware NAS; Wang et al. 2021, Sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mean:
    """The mean cost of the members; of a single member, its cost."""

    def __call__(self, costs: np.ndarray) -> np.ndarray | float:
        """Aggregates neighborhoods.

        Args:
            costs: ``(..., n)``, lower is better; element 0 is the reference; ``inf`` where a member diverged.

        Returns:
            ``(...)`` in the unit of the costs; ``inf`` where any member is.
        """
        # Sorted and taken from the least, so that equal costs give that cost to the last bit, in any order.
        ascending = np.sort(np.ascontiguousarray(costs, dtype=float), axis=-1)
        diverged = np.isinf(ascending[..., -1])
        known = np.where(diverged[..., np.newaxis], 0.0, ascending)
        least = known[..., 0]
        mean: np.ndarray = least + np.mean(known - least[..., np.newaxis], axis=-1)
        return np.where(diverged, np.inf, mean)[()]
