"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers of a network; a tensor used twice counts once."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Multiply-adds of the convolutions and linear layers for one image.

    Additions of biases, batch norms, activations and pools are not counted. A copy of the network in
    evaluation mode is run, so statistics, gradients and training mode stay as they are.

    Args:
        network: Takes one tensor.
        input_shape: ``(C, H, W)`` of the image.
    """
    trial = copy.deepcopy(network).eval()
    # Not on the meta device: its kernels are Python, and their import alone costs a second.
    image = torch.zeros(1, *input_shape, device=next(trial.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trial(image)
    return int(counter.get_total_flops()) // 2  # PyTorch counts a multiplication and its addition as two
