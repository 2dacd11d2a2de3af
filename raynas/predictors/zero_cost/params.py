"""The number of parameters: a baseline that every proxy has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.supernets.cost import count_parameters


@dataclass(frozen=True)
class Params:
    """Trainable parameters in millions, of all layers."""

    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return count_parameters(network) / 1e6
