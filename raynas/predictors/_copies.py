"""Copies of a network to be scored: whatever is done to them, the network itself is not touched."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm = _BatchNorm
"""Batch norms of any dimension."""


def working_copy(network: nn.Module) -> nn.Module:
    """A copy whose every parameter is differentiable, and which draws no random numbers.

    Its batch norms use the batch's statistics, as in training; all else is as in evaluation, dropout among
    it. No operation works in place, so that hooks may keep what they see.

    Args:
        network: Left as it is: weights, statistics, modes, gradients, hooks.
    """
    copied = copy.deepcopy(network).eval()
    for module in copied.modules():
        if isinstance(module, BatchNorm):
            module.train()
        if isinstance(getattr(module, "inplace", None), bool):
            module.inplace = False  # type: ignore[assignment]
    for parameter in copied.parameters():
        parameter.requires_grad, parameter.grad = True, None
    return copied


def linear_copy(network: nn.Module) -> nn.Module:
    """A copy in double precision with all tensors' absolute values, and without its batch norms.

    On positive inputs it is linear if the rest of the network is: convolutions, linear layers, ReLUs, pools
    and sums.

    Args:
        network: Left as it is.
    """
    copied = working_copy(network).double()
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNorm):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for tensor in (*copied.parameters(), *copied.buffers()):
            tensor.abs_()
    return copied
