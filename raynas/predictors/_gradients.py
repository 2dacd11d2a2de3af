"""The loss of a network on one batch, and derivatives of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.predictors._copies import working_copy
from raynas.predictors._layers import weights


def loss_and_weights(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
    """The mean cross-entropy of a copy of a network, and the weights of that copy which it is a function of.

    Args:
        network: Gives logits.
        images: ``(n, C, H, W)``, in the network's type.
        labels: ``(n,)``.
    """
    copied = working_copy(network)
    return functional.cross_entropy(copied(images), labels), weights(copied)


def gradients(scalar: Tensor, tensors: Sequence[Tensor], *, again: bool = False) -> Sequence[Tensor]:
    """Derivatives of a scalar; zeros by what it does not depend on.

    Args:
        scalar: What is differentiated.
        tensors: By what.
        again: The derivatives are to be differentiated once more.
    """
    if not scalar.requires_grad:
        return [torch.zeros_like(tensor) for tensor in tensors]
    return torch.autograd.grad(scalar, tensors, create_graph=again, allow_unused=True, materialize_grads=True)


def inner(these: Sequence[Tensor], those: Sequence[Tensor]) -> Tensor:
    """The inner product of two lists of tensors of equal shapes."""
    return torch.stack([(a * b).sum() for a, b in zip(these, those, strict=True)]).sum()
