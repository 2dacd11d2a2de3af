"""Synaptic flow (Tanaka et al., NeurIPS 2020, Eq. 2), summed over a network (Abdelfattah et al., ICLR 2021).

Departure: the logarithm is scored, as in NASLib; the ranking is the same. Batch norms are left out, as in
both; in double precision, since sums of absolute values grow with every layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._copies import linear_copy
from raynas.predictors._gradients import gradients
from raynas.predictors._layers import weights
from raynas.predictors._scores import as_score


@dataclass(frozen=True)
class Synflow:
    """The logarithm of the sum of absolute weights times the derivatives of R by them.

    R is the sum of the outputs of the network with absolute weights and without batch norms, for an image of
    ones. Only the shape of the images is used.
    """

    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return as_score(torch.stack(self.layer_sums(network, images)).sum().log())

    @torch.enable_grad()
    def layer_sums(self, network: nn.Module, images: Tensor) -> list[Tensor]:
        """The sum within each layer; along a chain of layers without biases, R for all of them."""
        copied = linear_copy(network)
        ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=images.device)
        counted = weights(copied)
        slopes = gradients(copied(ones).sum(), counted)
        return [(weight * slope).abs().sum() for weight, slope in zip(counted, slopes, strict=True)]
