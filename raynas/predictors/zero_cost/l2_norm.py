"""Norms of the weights (Abdelfattah et al., ICLR 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._layers import weights
from raynas.predictors._scores import as_score


@dataclass(frozen=True)
class L2Norm:
    """The sum over layers of the weights' L2 norms; with random weights, a count of layers and widths."""

    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return as_score(sum(float(weight.detach().norm()) for weight in weights(network)))
