"""Weights times gradients, signed (Abdelfattah et al., ICLR 2021, App.)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from raynas.predictors._gradients import gradients, inner
from raynas.predictors._of_loss import OfLoss


@dataclass(frozen=True)
class Plain(OfLoss):
    """The sum of weights times their gradients.

    The sign is the published one, with which the score falls as accuracy rises, on NAS-Bench-201 at least.
    """

    def of_loss(self, loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """The score, given the loss and what it is differentiated by."""
        return inner(weights, gradients(loss, weights))
