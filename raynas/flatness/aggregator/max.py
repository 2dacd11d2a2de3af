"""Maximum over a neighborhood, its worst member (neighborhood-aware NAS; Wang et al. 2021, Sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Max:
    """The highest cost of the members."""

    def __call__(self, costs: np.ndarray) -> np.ndarray | float:
        """Aggregates neighborhoods.

        Args:
            costs: ``(..., n)``, lower is better; element 0 is the reference; ``inf`` where a member diverged.

        Returns:
            ``(...)`` in the unit of the costs; ``inf`` where any member is.
        """
        worst: np.ndarray | float = np.max(np.asarray(costs, dtype=float), axis=-1)
        return worst
