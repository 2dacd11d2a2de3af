"""Network weights that are good at the worst mixing weights nearby (SDARTS-ADV; Chen and Hsieh, ICML 2020).

As in the released code, weights are divided by their sum after every step, so that a few move by slightly
more than epsilon; and where the search ends at a lower loss than it began with, nothing is perturbed.
Departures: an edge of which one operation is left stays as it is, as in DARTS-PT (Wang et al., ICLR 2021);
a loss that is not a number perturbs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from raynas.differentiable.mixing_perturbation._simplex import clipped, shaken
from raynas.differentiable.parameters import detached
from raynas.differentiable.schedule import Coefficient, Linear, Progress, require_not_negative, value
from raynas.ranges import require_positive
from raynas.supernets.layout import Alive
from raynas.supernets.mixing import Theta


@dataclass(frozen=True)
class Adversarial:
    """Projected sign ascent on the training loss, from a random start.

    A step of the search takes ``steps + 2`` forward and ``steps`` backward passes for it.

    Attributes:
        epsilon: Greatest change of a weight; 0 leaves the mixing weights as they are.
        steps: Steps of the ascent, each by ``2 * epsilon / steps``.
    """

    neutral: ClassVar[Mapping[str, Any]] = {"epsilon": 0.0}
    moves_mixing: ClassVar[bool] = True

    epsilon: Coefficient = field(default=Linear((0.03, 0.3)))
    steps: int = 7

    def __post_init__(self) -> None:
        require_not_negative(epsilon=self.epsilon)
        require_positive(steps=self.steps)

    def perturbed(
        self,
        theta: Theta,
        loss: Callable[[Theta], Tensor],
        alive: Alive,
        progress: Progress,
        generator: torch.Generator,
    ) -> Theta:
        """See ``raynas.differentiable.slots.MixingPerturbation``."""
        epsilon = value(self.epsilon, progress)
        if epsilon == 0:
            return theta
        before = loss(theta).detach()
        moved = shaken(theta, epsilon, alive, generator)
        for _ in range(self.steps):
            uphill = _gradient(loss, moved)
            for kind, rows in theta.items():
                risen = moved[kind] + 2 * epsilon / self.steps * uphill[kind].sign()
                near = rows + (risen - rows).clamp(-epsilon, epsilon)
                moved[kind] = clipped(near, rows, alive[kind])
        return moved if bool(loss(moved).detach() >= before) else theta


def _gradient(loss: Callable[[Theta], Tensor], theta: Theta) -> dict[str, Tensor]:
    leaves = {kind: rows.requires_grad_() for kind, rows in detached(theta).items()}
    gradients = torch.autograd.grad(
        loss(leaves), list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, gradients, strict=True))
