"""Architecture parameters that stay at their first values.

With them a search trains the network weights alone: the blank supernet of perturbation-based selection
(DARTS-PT; Wang et al., ICLR 2021). The released A2M for DARTS-PT, which writes its first parameters
back in every step, is this search at A2M's cost, save for one step of Adam around them.
"""

from __future__ import annotations

from dataclasses import dataclass

from raynas.differentiable.objective import Objective
from raynas.differentiable.parameters import Parameters


@dataclass(frozen=True)
class Frozen:
    """No gradient at all."""

    def gradient(self, alpha: Parameters, objective: Objective) -> None:
        """See ``raynas.differentiable.slots.ArchGradient``; nothing is evaluated."""
