"""Second derivatives of a loss by a few numbers, such as a supernet's architecture parameters.

The greatest eigenvalue of the validation loss's Hessian by the logits tells of sharp minima (RobustDARTS;
Zela et al., ICLR 2020, Sec. 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def hessian(loss: Callable[[Mapping[str, Tensor]], Tensor], point: Mapping[str, Tensor]) -> Tensor:
    """All second derivatives, row by row, each by a second backward pass.

    Args:
        loss: Tensors by name to ``()``, with a graph to them that can be differentiated twice.
        point: Where.

    Returns:
        ``(n, n)``, n the numbers of all tensors together in their order; symmetric up to rounding.
    """
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in point.items()}
    inputs = list(leaves.values())
    with torch.enable_grad():
        first = torch.autograd.grad(
            loss(leaves), inputs, create_graph=True, allow_unused=True, materialize_grads=True
        )
    slopes = torch.cat([part.flatten() for part in first])
    if not slopes.requires_grad:  # of a loss without any curvature
        return slopes.new_zeros(len(slopes), len(slopes))
    rows = []
    for slope in slopes.unbind():
        second = torch.autograd.grad(
            slope, inputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([part.flatten() for part in second]))
    return torch.stack(rows)


def greatest_eigenvalue(matrix: Tensor) -> float:
    """The greatest (not the largest in size) eigenvalue of a symmetric matrix.

    Args:
        matrix: ``(n, n)``; its symmetric part counts.

    Returns:
        Not a number where the matrix has entries that are not finite.
    """
    exact = matrix.detach().double().cpu()
    if not exact.isfinite().all():
        return math.nan
    return float(torch.linalg.eigvalsh((exact + exact.T) / 2)[-1])
