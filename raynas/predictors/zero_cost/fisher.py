"""Fisher information of channels (Turner et al., ICLR 2020, Eq. 2; Abdelfattah et al., ICLR 2021, Eq. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.predictors._copies import working_copy
from raynas.predictors._gradients import gradients
from raynas.predictors._layers import layers
from raynas.predictors._scores import as_score

Activation = tuple[nn.Conv2d | nn.Linear, Tensor]
"""A layer and what it gave: ``(n, channels, H, W)``, or ``(n, ..., channels)`` of a linear layer."""


@dataclass(frozen=True)
class Fisher:
    """The sum over layers and output channels of the loss's squared sensitivity to the channel.

    Each channel counts as often as its filter has weights, since in the published code every weight carries
    its channel's value.
    """

    @torch.enable_grad()
    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        copied = working_copy(network)
        seen: list[Activation] = []

        def keep(layer: Any, inputs: Any, output: Tensor) -> None:
            seen.append((layer, output))

        for layer in layers(copied):
            layer.register_forward_hook(keep)
        loss = functional.cross_entropy(copied(images), labels)
        return as_score(self.of_loss(loss, seen))

    def of_loss(self, loss: Tensor, activations: Sequence[Activation]) -> Tensor:
        """The score, given the loss and the layers' outputs, which it is differentiated by."""
        slopes = gradients(loss, [output for _, output in activations])
        total = loss.new_zeros(())
        for (layer, output), slope in zip(activations, slopes, strict=True):
            product = output.detach() * slope
            if isinstance(layer, nn.Linear):
                product = product.movedim(-1, 1)
            of_channels = product.reshape(*product.shape[:2], -1).sum(2)  # over the image: (n, channels)
            information = of_channels.square().mean(0) / 2
            total = total + layer.weight[0].numel() * information.sum()
        return total
