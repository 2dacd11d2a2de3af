"""SNIP (Lee et al., ICLR 2019, Eq. 4), summed over a network as by Abdelfattah et al. (ICLR 2021, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.predictors._gradients import gradients
from raynas.predictors._of_loss import OfLoss


@dataclass(frozen=True)
class Snip(OfLoss):
    """The sum of the absolute values of weights times gradients.

    Each is how fast the loss changes as a mask on that weight falls from 1.
    """

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by."""
        pairs = zip(weights, gradients(loss, weights), strict=True)
        return torch.stack([(weight * gradient).abs().sum() for weight, gradient in pairs]).sum()
