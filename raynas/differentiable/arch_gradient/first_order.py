"""The plain gradient of the validation loss (first-order DARTS; Liu et al., ICLR 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from raynas.differentiable.objective import Objective
from raynas.differentiable.parameters import Parameters


@dataclass(frozen=True)
class FirstOrder:
    """The derivative of the objective at the current network weights."""

    def gradient(self, alpha: Parameters, objective: Objective) -> Mapping[str, Tensor]:
        """See ``raynas.differentiable.slots.ArchGradient``."""
        return objective.gradient(alpha)
