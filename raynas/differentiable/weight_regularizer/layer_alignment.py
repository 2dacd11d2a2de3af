"""Network weights whose cells agree on the mixing weights (Lambda-DARTS; Movahedi et al., ICLR 2023, Sec. 4).

Each cell is given its own copy of the mixing weights; the mean correlation of the training loss's gradients
by these copies is maximised, its derivative by the network weights taken as a finite difference. In the DARTS
family only normal cells take part.

Departure: cells, and in ``signcorr`` pairs of cells, whose gradient is zero are skipped, where the paper's
ratio is 0/0; so is the whole term where its direction vanishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from raynas.differentiable.schedule import Coefficient, Progress, Ramp, require_not_negative, value
from raynas.supernets.layout import Layout
from raynas.supernets.mixing import Theta

_TINY = 1e-12


@dataclass(frozen=True)
class LayerAlignment:
    """The loss's gradient, less ``weight`` times that of the cells' correlation.

    A step takes three forward and backward passes where the weight is not 0.

    Attributes:
        weight: Coefficient of the correlation; lambda in the paper. 0 gives the plain gradient.
        correlation: ``corr`` is the cosine of two cells' gradients; ``signcorr`` their product over the
            product of their absolute values, by which only signs that disagree lower it.
        epsilon0: How far the mixing weights are moved for the finite difference, in L2 norm over all cells.
    """

    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}

    weight: Coefficient = field(default=Ramp((0.0, 0.125)))
    correlation: Literal["corr", "signcorr"] = "corr"
    epsilon0: float = 1e-4

    def __post_init__(self) -> None:
        require_not_negative(weight=self.weight)
        if not 0 < self.epsilon0 < math.inf:
            raise ValueError(f"epsilon0: {self.epsilon0} is not positive and finite; give 1e-4 or so")

    def gradients(
        self,
        theta: Theta,
        loss: Callable[[Theta], Tensor],
        weights: Sequence[Tensor],
        layout: Layout,
        progress: Progress,
    ) -> Sequence[Tensor]:
        """See ``raynas.differentiable.slots.WeightRegularizer``."""
        weight = value(self.weight, progress)
        if weight == 0:
            return _grad(loss(theta), weights)
        kind = next(kind for kind in layout.kinds if kind != "reduce")
        given = theta[kind].detach()
        leaf = given.clone().requires_grad_()
        *plain, of_cells = _grad(loss({**theta, kind: leaf}), [*weights, leaf])
        direction = ascent(of_cells.flatten(1), self.correlation).view_as(given)
        length = float(direction.norm())
        if length < _TINY:
            return plain
        epsilon = self.epsilon0 / length
        behind = _grad(loss({**theta, kind: given - epsilon * direction}), weights)
        ahead = _grad(loss({**theta, kind: given + epsilon * direction}), weights)
        scale = weight / (2 * epsilon)
        return [g + scale * (b - a) for g, b, a in zip(plain, behind, ahead, strict=True)]


def ascent(gradients: Tensor, correlation: Literal["corr", "signcorr"]) -> Tensor:
    """The derivative of the mean correlation of all pairs of cells by the cells' gradients.

    Args:
        gradients: ``(cells, n)``.
        correlation: See ``LayerAlignment``.

    Returns:
        ``(cells, n)``; zeros where there are fewer than two cells.
    """
    n_cells = len(gradients)
    if n_cells < 2:
        return torch.zeros_like(gradients)
    share = 2 / (n_cells * (n_cells - 1))
    return share * (_of_cosines if correlation == "corr" else _of_signs)(gradients)


def _of_cosines(gradients: Tensor) -> Tensor:
    norms = gradients.norm(dim=1, keepdim=True)
    norms = torch.where(norms < _TINY, torch.inf, norms)  # which makes zeros of the cell's terms
    units = gradients / norms
    total = units.sum(0)
    return (total - units * (units @ total)[:, None]) / norms


def _of_signs(gradients: Tensor) -> Tensor:
    sizes = gradients.abs()
    products = sizes @ sizes.T
    inverse = torch.where(products < _TINY**2, 0.0, 1 / products).fill_diagonal_(0)
    ratios = inverse * (gradients @ gradients.T)
    return inverse @ gradients - gradients.sign() * ((ratios * inverse) @ sizes)


def _grad(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True))
