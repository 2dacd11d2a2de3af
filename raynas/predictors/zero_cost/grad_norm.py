"""Norms of the weights' gradients (Abdelfattah et al., ICLR 2021, Sec. 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.predictors._gradients import gradients
from raynas.predictors._of_loss import OfLoss


@dataclass(frozen=True)
class GradNorm(OfLoss):
    """The sum over layers of the L2 norms of the loss's gradients by the weights."""

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by."""
        return torch.stack([gradient.norm() for gradient in gradients(loss, weights)]).sum()
