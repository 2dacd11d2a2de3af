"""Multiply-adds: a baseline that every proxy has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._copies import working_copy
from raynas.supernets.cost import count_flops


@dataclass(frozen=True)
class Flops:
    """Multiply-adds for one image in millions, of convolutions and linear layers."""

    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        channels, height, width = images.shape[1:]
        if images.dtype != torch.float32:  # in which the count is taken
            network = working_copy(network).float()
        return count_flops(network, (channels, height, width)) / 1e6
