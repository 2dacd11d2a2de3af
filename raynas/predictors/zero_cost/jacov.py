"""Correlations of input Jacobians (Mellor et al., 'Neural Architecture Search without Training', 2020, v1).

The score of the paper's first version; that of the last is ``nwot``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._copies import working_copy
from raynas.predictors._gradients import gradients
from raynas.predictors._scores import as_score

K = 1e-5
"""Added to eigenvalues, so that one of 0 has a logarithm (the paper's k)."""


@dataclass(frozen=True)
class Jacov:
    """How little the images' Jacobians resemble each other: the less, the better they can be told apart.

    At most about minus the number of images, when no two correlate.
    """

    @torch.enable_grad()
    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        copied = working_copy(network).requires_grad_(requires_grad=False)
        inputs = images.detach().clone()
        inputs.requires_grad = True
        (jacobians,) = gradients(copied(inputs).sum(), [inputs])  # one backward pass for all images
        return as_score(self.of_jacobians(jacobians.flatten(1)))

    def of_jacobians(self, rows: Tensor) -> float:
        """The score of ``(n, features)`` Jacobians; not a number where one of them is constant."""
        correlations = torch.corrcoef(rows.detach().to("cpu", torch.float64))
        if not bool(torch.isfinite(correlations).all()):
            return float("nan")
        eigenvalues = torch.linalg.eigvalsh(correlations).clamp(min=0.0)  # rounding goes below 0
        return -float(((eigenvalues + K).log() + 1 / (eigenvalues + K)).sum())
