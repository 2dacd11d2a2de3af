"""Network weights that are good on average around the mixing weights (SDARTS-RS; Chen and Hsieh, ICML 2020).

As in the released code, weights are divided by their sum after the noise, so that a few move by slightly
more than epsilon. Departure: an edge of which one operation is left stays as it is, as in DARTS-PT (Wang et
al., ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from raynas.differentiable.mixing_perturbation._simplex import shaken
from raynas.differentiable.schedule import Coefficient, Linear, Progress, require_not_negative, value
from raynas.supernets.layout import Alive
from raynas.supernets.mixing import Theta


@dataclass(frozen=True)
class Random:
    """Uniform noise on the mixing weights, one draw a step.

    Attributes:
        epsilon: Greatest noise; 0 leaves the mixing weights as they are.
    """

    neutral: ClassVar[Mapping[str, Any]] = {"epsilon": 0.0}
    moves_mixing: ClassVar[bool] = True

    epsilon: Coefficient = field(default=Linear((0.03, 0.3)))

    def __post_init__(self) -> None:
        require_not_negative(epsilon=self.epsilon)

    def perturbed(
        self,
        theta: Theta,
        loss: Callable[[Theta], Tensor],
        alive: Alive,
        progress: Progress,
        generator: torch.Generator,
    ) -> Theta:
        """See ``raynas.differentiable.slots.MixingPerturbation``; the loss is not asked for."""
        epsilon = value(self.epsilon, progress)
        return theta if epsilon == 0 else shaken(theta, epsilon, alive, generator)
