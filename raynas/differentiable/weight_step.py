"""The w-step: network weights move by the loss of a training batch, or by what a slot makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raynas.data.batches import Batch
from raynas.differentiable.losses import Losses, Tally
from raynas.differentiable.mixed_op.partial_channels import widened
from raynas.differentiable.schedule import Progress
from raynas.seeding import derive
from raynas.supernets.mixing import Mixing, Theta
from raynas.supernets.snapshot import copied

if TYPE_CHECKING:
    from raynas.differentiable.method import Method


class WeightStep:
    """SGD on a supernet's weights.

    Args:
        method: The search.
        losses: Of the supernet.
    """

    def __init__(self, method: Method, losses: Losses) -> None:
        self._method, self._losses = method, losses
        self.restart()

    def restart(self) -> None:
        """A fresh optimiser."""
        self._sgd = torch.optim.SGD(
            self._losses.supernet.parameters(), lr=self._method.weights.lr, **self._options
        )

    @property
    def _options(self) -> dict[str, Any]:
        options = self._method.weights
        return {
            "momentum": options.momentum,
            "nesterov": options.nesterov,
            "weight_decay": options.weight_decay,
        }

    @property
    def lr(self) -> float:
        """Learning rate."""
        rate: float = self._sgd.param_groups[0]["lr"]
        return rate

    @lr.setter
    def lr(self, rate: float) -> None:
        self._sgd.param_groups[0]["lr"] = rate

    def momentum(self) -> dict[str, Tensor]:
        """Momentum buffers by the weights' names; zeros before the first step."""
        found = {}
        for name, tensor in self._losses.supernet.named_parameters():
            buffer = self._sgd.state[tensor].get("momentum_buffer")
            found[name] = torch.zeros_like(tensor) if buffer is None else buffer
        return found

    def take(self, batch: Batch, mixing: Mixing, progress: Progress, seed: int, tally: Tally) -> None:
        """One step.

        Args:
            batch: Training images and labels.
            mixing: Outside any graph.
            progress: How far the search is.
            seed: Of the step's draws.
            tally: Counts the batch's loss.
        """
        mixing = self._perturbed(mixing, batch, progress, seed)
        weights, draws = list(self._losses.supernet.parameters()), derive(seed, "operations")
        regularizer = self._method.weight_regularizer
        if regularizer is None:
            loss, outputs, gradients = self._losses.by_weights(batch, mixing, draws, weights)
            tally.add(loss, outputs, batch[1])
        else:
            loss_of = _TrackedOnce(self._losses, batch, mixing, draws, tally)
            layout = self._losses.supernet.layout
            gradients = regularizer.gradients(
                self._of_cells(mixing.weights), loss_of, weights, layout, progress
            )
        for tensor, gradient in zip(weights, gradients, strict=True):
            tensor.grad = gradient
        if self._method.weights.clip is not None:
            torch.nn.utils.clip_grad_norm_(weights, self._method.weights.clip)
        self._sgd.step()
        self._sgd.zero_grad(set_to_none=True)

    def widen(self, k: int, generator: torch.Generator) -> None:
        """Gives the operations of partial channels a ``1 / k`` share; momentum is widened alike.

        Args:
            k: Of how many channels one is given to the operations.
            generator: Draws which channels are doubled.
        """
        momentum, rate = self.momentum(), self.lr
        widening = widened(self._losses.supernet, k, generator)
        self.restart()
        self.lr = rate
        for name, tensor in self._losses.supernet.named_parameters():
            self._sgd.state[tensor]["momentum_buffer"] = widening.like(name, momentum[name])

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU of weights, running statistics and optimiser."""
        return {"weights": copied(self._losses.supernet.state_dict()), "sgd": copied(self._sgd.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken."""
        self._losses.supernet.load_state_dict(state["weights"])
        self._sgd.load_state_dict(copied(state["sgd"]))  # it keeps the very tensors it is given
        self._sgd.param_groups[0].update(self._options)  # not those that the state was taken under

    def _perturbed(self, mixing: Mixing, batch: Batch, progress: Progress, seed: int) -> Mixing:
        component = self._method.mixing_perturbation
        if component is None:
            return mixing

        def loss(theta: Theta) -> Tensor:
            moved = replace(mixing, weights=theta)
            with self._losses.evaluating(), torch.enable_grad():
                return self._losses.of(batch, moved, derive(seed, "operations"))[0]

        draw = torch.Generator().manual_seed(derive(seed, "perturbation"))
        theta = component.perturbed(mixing.weights, loss, mixing.alive, progress, draw)
        return replace(mixing, weights=theta)

    def _of_cells(self, theta: Theta) -> dict[str, Tensor]:
        """Each cell's own copy of the mixing weights."""
        counts = self._losses.supernet.n_cells
        return {kind: rows.expand(counts[kind], *rows.shape).clone() for kind, rows in theta.items()}


class _TrackedOnce:
    """The loss of a training batch by mixing weights; running statistics follow the first call alone."""

    def __init__(self, losses: Losses, batch: Batch, mixing: Mixing, seed: int, tally: Tally) -> None:
        self._losses, self._batch, self._mixing, self._seed = losses, batch, mixing, seed
        self._tally: Tally | None = tally

    def __call__(self, theta: Theta) -> Tensor:
        mixing = replace(self._mixing, weights=theta)
        if self._tally is None:
            return self._losses.untracked(self._batch, mixing, self._seed)
        loss, outputs = self._losses.of(self._batch, mixing, self._seed)
        self._tally.add(loss, outputs, self._batch[1])
        self._tally = None
        return loss
