"""GraSP (Wang et al., ICLR 2020, Eq. 8), summed over a network (Abdelfattah et al., ICLR 2021, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._gradients import gradients, inner, loss_and_weights
from raynas.predictors._scores import as_score


@dataclass(frozen=True)
class Grasp:
    """Minus the sum of weights times H g: how much less the gradient would shrink without them.

    H is the Hessian of the loss by the weights and g the gradient. The sign is the one with which the greater
    is the better on NAS-Bench-201.
    """

    @torch.enable_grad()
    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return as_score(self.of_loss(*loss_and_weights(network, images, labels)))

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by, twice."""
        gradient = gradients(loss, weights, again=True)
        still = [part.detach() for part in gradient]
        curvature = gradients(inner(still, gradient), weights)  # H g, as the gradient of <g, grad L>
        return -inner(weights, curvature)
