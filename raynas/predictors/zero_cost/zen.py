"""Zen-score (Lin et al., 'Zen-NAS', ICCV 2021, Alg. 1).

The published code and its paper differ in the deviation of a batch norm: the paper's is that of the batch,
the code's is of the running variance after two batches, which is still four fifths the 1 it began with. See
``momentum``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.predictors._copies import BatchNorm, working_copy
from raynas.predictors._layers import layers
from raynas.predictors._scores import as_score


@dataclass(frozen=True)
class Zen:
    """The log of how much the features change with the input, and of what the batch norms took out of it.

    Weights and inputs are drawn from N(0, 1); of the images only the shape is used. Features are what the
    last ``AdaptiveAvgPool2d`` is given, and in a network without one the last output of a module that is
    an image.

    Attributes:
        gamma: Size of the change, in standard deviations of the input (the code's mixup gamma).
        repeats: Draws that are averaged; the published code's default is 32.
        momentum: Of the running variances, which begin at 1: 0.1 as in the published code, 1 for the batch's
            variance as in the paper.
    """

    gamma: float = 0.01
    repeats: int = 1
    momentum: float = 0.1

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise ValueError(f"gamma: {self.gamma} is not positive; give 0.01")
        if self.repeats < 1:
            raise ValueError(f"repeats: {self.repeats} is below 1; give 1 or more")
        if not 0 < self.momentum <= 1:
            raise ValueError(f"momentum: {self.momentum} is outside (0, 1]; give 0.1 or 1")

    @torch.no_grad()
    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        copied = working_copy(network)
        scores = [self._once(copied, images, generator) for _ in range(self.repeats)]
        return as_score(sum(scores) / self.repeats)

    def _once(self, copied: nn.Module, images: Tensor, generator: torch.Generator) -> float:
        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator).to(like)

        for layer in layers(copied):
            layer.weight.copy_(normal(layer.weight))
            if layer.bias is not None:
                layer.bias.zero_()
        norms = [module for module in copied.modules() if isinstance(module, BatchNorm)]
        for norm in norms:
            self._restart(norm, images)
        x = normal(images)
        changed = x + self.gamma * normal(images)
        difference = features(copied, x) - features(copied, changed)
        scales = [norm.running_var.mean().sqrt().log() for norm in norms if norm.running_var is not None]
        return float(difference.flatten(1).abs().sum(1).mean().log() + sum(scales))

    def _restart(self, norm: BatchNorm, images: Tensor) -> None:
        norm.track_running_stats, norm.momentum = True, self.momentum
        norm.running_mean = images.new_zeros(norm.num_features)
        norm.running_var = images.new_ones(norm.num_features)
        norm.num_batches_tracked = torch.zeros((), dtype=torch.int64, device=images.device)
        if norm.affine:
            norm.weight.fill_(1.0)
            norm.bias.zero_()


def features(network: nn.Module, images: Tensor) -> Tensor:
    """What a network's global pool is given; without one, the last image that a module without parts gives.

    The logits, where no module gives images.
    """
    pooled: list[Tensor] = []
    shaped: list[Tensor] = []

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.AdaptiveAvgPool2d):
            pooled[:] = [inputs[0]]
        elif output.dim() == 4:
            shaped[:] = [output]

    handles = [
        module.register_forward_hook(see) for module in network.modules() if not list(module.children())
    ]
    logits = network(images)
    for handle in handles:
        handle.remove()
    found: Tensor = (pooled or shaped or [logits])[0]
    return found
