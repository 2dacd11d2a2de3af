"""Proxies that are functions of one loss and the weights it depends on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raynas.predictors._gradients import loss_and_weights
from raynas.predictors._scores import as_score


class OfLoss:
    """Scores a copy of a network by ``of_loss``."""

    @torch.enable_grad()
    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return as_score(self.of_loss(*loss_and_weights(network, images, labels)))

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by."""
        raise NotImplementedError
