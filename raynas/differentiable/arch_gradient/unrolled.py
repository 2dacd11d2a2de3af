"""The gradient through one step of the network weights (second-order DARTS; Liu et al., ICLR 2019, Sec. 2.3).

The weights look one step of SGD ahead, momentum and weight decay included. How that step hangs on the
architecture parameters is a Hessian-vector product, taken with a finite difference in the weights.

Departures: the weights are never moved in place, so that nothing of the finite difference stays in them, and
batch norm's running statistics follow none of the evaluations. As in the released code, the step that is
looked ahead to has neither Nesterov's momentum nor clipped gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raynas.differentiable.objective import Objective, Unrolling
from raynas.differentiable.parameters import Parameters, detached, norm, plus
from raynas.differentiable.schedule import Coefficient, require_not_negative, value


@dataclass(frozen=True)
class Unrolled:
    """The derivative of the validation loss at the weights of the next step.

    Attributes:
        xi: Learning rate of that step; None: the weights' own.
        epsilon: Length of the finite difference's step, in the weights all together.
    """

    xi: Coefficient | None = None
    epsilon: float = 0.01

    neutral: ClassVar[Mapping[str, Any]] = {"xi": 0.0}

    def __post_init__(self) -> None:
        if self.xi is not None:
            require_not_negative(xi=self.xi)
        if not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon: {self.epsilon} is not positive and finite; give 0.01")

    def gradient(self, alpha: Parameters, objective: Objective) -> Mapping[str, Tensor]:
        """See ``raynas.differentiable.slots.ArchGradient``.

        Raises:
            ValueError: The objective knows no next step of the weights.
        """
        xi = None if self.xi is None else value(self.xi, objective.progress)
        if xi == 0:
            return objective.gradient(alpha)
        unrolling = objective.unrolling
        if unrolling is None:
            raise ValueError("unrolled: the objective knows no next step of the weights; use first_order")
        xi = unrolling.lr if xi is None else xi
        weights, leaves = _leaves(_ahead(unrolling, alpha, xi)), _leaves(alpha)
        with torch.enable_grad():
            loss = unrolling.valid_loss(weights, leaves)
        found = _derivatives(loss, [*weights.values(), *leaves.values()])
        direction = dict(zip(weights, found[: len(weights)], strict=True))
        direct = dict(zip(leaves, found[len(weights) :], strict=True))
        length = float(norm(direction))
        if length == 0:  # then nothing of it comes through the weights
            return direct
        indirect = _mixed_product(unrolling, alpha, direction, self.epsilon / length)
        return plus(direct, indirect, times=-xi)


def _ahead(unrolling: Unrolling, alpha: Parameters, xi: float) -> dict[str, Tensor]:
    """The weights after a step of SGD (DARTS, Eq. 6, with momentum and weight decay)."""
    weights = _leaves(unrolling.weights)
    with torch.enable_grad():
        loss = unrolling.train_loss(weights, detached(alpha))
    gradients = dict(zip(weights, _derivatives(loss, weights.values()), strict=True))
    step = plus(gradients, unrolling.momentum, times=unrolling.momentum_factor)
    step = plus(step, unrolling.weights, times=unrolling.weight_decay)
    return detached(plus(unrolling.weights, step, times=-xi))


def _mixed_product(
    unrolling: Unrolling, alpha: Parameters, direction: Parameters, radius: float
) -> dict[str, Tensor]:
    """The training loss's second derivative by parameters and weights, times a direction (DARTS, Eq. 8)."""
    ends = []
    for times in (radius, -radius):
        leaves = _leaves(alpha)
        weights = detached(plus(unrolling.weights, direction, times=times))
        with torch.enable_grad():
            loss = unrolling.train_loss(weights, leaves)
        ends.append(_derivatives(loss, leaves.values()))
    return {name: (up - down) / (2 * radius) for name, up, down in zip(alpha, *ends, strict=True)}


def _leaves(tensors: Parameters) -> dict[str, Tensor]:
    return {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}


def _derivatives(loss: Tensor, leaves: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Zeros where the loss does not hang on one."""
    return torch.autograd.grad(loss, list(leaves), allow_unused=True, materialize_grads=True)
