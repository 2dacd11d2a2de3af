"""Norms of the weights' gradients (Abdelfattah et al., ICLR 2021, Sec. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._gradients import gradients, loss_and_weights
from raynas.predictors._scores import as_score


@dataclass(frozen=True)
class GradNorm:
    """The sum over layers of the L2 norms of the loss's gradients by the weights."""

    @torch.enable_grad()
    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return as_score(self.of_loss(*loss_and_weights(network, images, labels)))

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by."""
        return torch.stack([gradient.norm() for gradient in gradients(loss, weights)]).sum()
