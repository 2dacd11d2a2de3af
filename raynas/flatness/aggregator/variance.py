"""The reference plus the spread around it (neighborhood-aware NAS; Wang et al. 2021, Table 8).

The paper names this aggregator variance, but its appendix equates "variance (standard deviation)" and its
formula is f(reference) + lam * sigma. So it is computed here: sigma is the standard deviation, with ddof 0,
over all members, the reference included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Variance:
    """The reference's cost plus ``lam`` standard deviations (ddof 0) of all members' costs.

    Attributes:
        lam: Weight of the standard deviation (the paper's lambda, 1 in its Table 8); at 0, its neutral value,
            the reference's cost alone counts.
    """

    lam: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.lam < math.inf:
            raise ValueError(f"lam: {self.lam} is not a weight; give a finite number of 0 or more")

    def __call__(self, costs: np.ndarray) -> np.ndarray | float:
        """Aggregates neighborhoods.

        Args:
            costs: ``(..., n)``, lower is better; element 0 is the reference; ``inf`` where a member diverged.

        Returns:
            ``(...)`` in the unit of the costs; ``inf`` where any member is; at ``lam=0`` the reference's.
        """
        costs = np.ascontiguousarray(costs, dtype=float)
        reference = costs[..., 0]
        if self.lam == 0:
            return reference
        diverged = np.isinf(costs).any(axis=-1)
        known = np.where(diverged[..., np.newaxis], 0.0, costs)  # inf - inf would be nan
        ascending = np.sort(known, axis=-1)  # so that the order of the members leaves no bit different
        spread = np.where(diverged, np.inf, np.std(ascending - ascending[..., :1], axis=-1))
        return reference + self.lam * spread
