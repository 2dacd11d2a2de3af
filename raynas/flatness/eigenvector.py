"""The first eigenvector of a loss's Hessian by the weights, by power iteration (Golub and Van Loan, 2013).

The Hessian is never built: each product with it is one more backward pass through the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from raynas.flatness.subject import Weights
from raynas.seeding import derive


def steepest(
    loss: Callable[[Weights], Tensor],
    weights: Weights,
    moved: Iterable[str],
    *,
    seed: int,
    n_products: int = 100,
    tolerance: float = 1e-4,
) -> dict[str, Tensor]:
    """The direction in which a loss bends most: the eigenvalue there is the largest in size.

    Args:
        loss: Weights to ``()``, twice differentiable.
        weights: Where; they stay as they are.
        moved: Names of those that the direction may have entries for.
        seed: Of the vector that the iteration begins with.
        n_products: Products with the Hessian at the most.
        tolerance: Relative change of the eigenvalue at which the iteration ends.

    Returns:
        For each of ``moved`` that the loss hangs on a tensor of its shape. All together they are a vector of
        length 1, along which the loss does not fall at first.
    """
    leaves = {name: weights[name].detach().clone().requires_grad_() for name in moved}
    with torch.enable_grad():
        value = loss({**weights, **leaves})
        if not value.requires_grad:
            return {}
        found = torch.autograd.grad(value, list(leaves.values()), create_graph=True, allow_unused=True)
    gradient = {name: part for name, part in zip(leaves, found, strict=True) if part is not None}
    names, slopes = list(gradient), list(gradient.values())
    vector = _normalized([_start(part, seed, name) for name, part in gradient.items()])
    eigenvalue = 0.0
    for _ in range(n_products):
        product = _product(slopes, [leaves[name] for name in names], vector)
        before, eigenvalue = eigenvalue, float(_dot(product, vector))
        if not float(_dot(product, product)) > 0:  # no curvature: every vector is an eigenvector
            break
        vector = _normalized(product)
        if abs(eigenvalue - before) <= tolerance * abs(eigenvalue):
            break
    sign = -1 if _dot(slopes, vector) < 0 else 1
    return {name: (sign * part).detach() for name, part in zip(names, vector, strict=True)}


def _product(slopes: Sequence[Tensor], at: Sequence[Tensor], vector: Sequence[Tensor]) -> list[Tensor]:
    """The Hessian times a vector."""
    curved = [(slope, part) for slope, part in zip(slopes, vector, strict=True) if slope.requires_grad]
    if not curved:  # of a loss without any curvature
        return [torch.zeros_like(part) for part in vector]
    second = torch.autograd.grad(
        [slope for slope, _ in curved],
        list(at),
        [part for _, part in curved],
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return [part.detach() for part in second]


def _start(like: Tensor, seed: int, name: str) -> Tensor:
    generator = torch.Generator().manual_seed(derive(seed, name))
    return torch.randn(like.shape, generator=generator).to(like)


def _dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a.detach() * b).sum() for a, b in zip(one, other, strict=True)]).sum()


def _normalized(vector: Sequence[Tensor]) -> list[Tensor]:
    length = _dot(vector, vector).sqrt()
    return [part.detach() / length for part in vector]
