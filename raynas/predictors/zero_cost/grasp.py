"""GraSP (Wang et al., ICLR 2020, Eq. 8), summed over a network (Abdelfattah et al., ICLR 2021, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from raynas.predictors._gradients import gradients, inner
from raynas.predictors._of_loss import OfLoss


@dataclass(frozen=True)
class Grasp(OfLoss):
    """Minus the sum of weights times H g: how much less the gradient would shrink without them.

    H is the Hessian of the loss by the weights and g the gradient. The sign is the one with which the greater
    is the better on NAS-Bench-201.
    """

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by, twice."""
        gradient = gradients(loss, weights, again=True)
        still = [part.detach() for part in gradient]
        curvature = gradients(inner(still, gradient), weights)  # H g, as the gradient of <g, grad L>
        return -inner(weights, curvature)
