"""Weights times gradients, signed (Abdelfattah et al., ICLR 2021, App.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._gradients import gradients, inner, loss_and_weights
from raynas.predictors._scores import as_score


@dataclass(frozen=True)
class Plain:
    """The sum of weights times their gradients.

    The sign is the published one, with which the score falls as accuracy rises, on NAS-Bench-201 at least.
    """

    @torch.enable_grad()
    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return as_score(self.of_loss(*loss_and_weights(network, images, labels)))

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by."""
        return inner(weights, gradients(loss, weights))
