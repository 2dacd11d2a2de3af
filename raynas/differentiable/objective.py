"""What one alpha-step improves: the validation loss of one batch, as a function of architecture parameters.

The batch and the random draw are fixed, so that every evaluation of a step sees the same; differences between
two of them are those of the parameters alone. Evaluations leave no trace: batch norm normalises by the batch
and keeps its running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from raynas.differentiable.parameters import Parameters
from raynas.differentiable.schedule import Progress
from raynas.seeding import derive
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixing import Theta

Move: TypeAlias = Callable[[Theta], Theta]
"""Changes the mixing weights that a relaxation gave; differentiable."""


class Loss(Protocol):
    """Architecture parameters to a loss, with a graph to them."""

    def __call__(self, alpha: Parameters, move: Move | None = None) -> Tensor:
        """``()``; ``move`` is applied to the mixing weights before they are used."""
        ...


@dataclass(frozen=True)
class Unrolling:
    """What the step of the network weights would be, for gradients that look one such step ahead.

    Attributes:
        weights: The network's weights by name.
        momentum: Their momentum buffers by name; zeros before the first step.
        train_loss: Weights and architecture parameters to the loss of the training batch.
        valid_loss: The same on the validation batch, penalties included.
        lr: Learning rate.
        momentum_factor: Momentum of SGD.
        weight_decay: L2 coefficient.
    """

    weights: Mapping[str, Tensor]
    momentum: Mapping[str, Tensor]
    train_loss: Callable[[Mapping[str, Tensor], Parameters], Tensor]
    valid_loss: Callable[[Mapping[str, Tensor], Parameters], Tensor]
    lr: float
    momentum_factor: float
    weight_decay: float


@dataclass(frozen=True)
class Objective:
    """The objective of one alpha-step.

    Attributes:
        loss: The validation loss with its penalties.
        layout: Of the supernet.
        alive: What still counts.
        progress: How far the search is.
        seed: Of this step's draws.
        unroll: Gives the weights' next step, for gradients that look at it; None where there is none.
    """

    loss: Loss
    layout: Layout
    alive: Alive
    progress: Progress
    seed: int = 0
    unroll: Callable[[], Unrolling] | None = None

    @property
    def unrolling(self) -> Unrolling | None:
        """The weights' next step, put together now; None where there is none to look at."""
        return None if self.unroll is None else self.unroll()

    def gradient(self, alpha: Parameters, move: Move | None = None) -> dict[str, Tensor]:
        """The loss's derivatives by the architecture parameters."""
        return self.value_and_gradient(alpha, move)[1]

    def value_and_gradient(
        self, alpha: Parameters, move: Move | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, outside any graph, and its derivatives."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in alpha.items()}
        with torch.enable_grad():
            loss = self.loss(leaves, move)
        gradients = torch.autograd.grad(
            loss, list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        return loss.detach(), dict(zip(leaves, gradients, strict=True))

    def value(self, alpha: Parameters, move: Move | None = None) -> Tensor:
        """The loss alone."""
        with torch.no_grad():
            return self.loss(alpha, move)

    def generator(self, *names: str | int) -> torch.Generator:
        """A CPU generator for one named use, the same whenever it is asked for in this step."""
        return torch.Generator().manual_seed(derive(self.seed, *names))
