"""What the components of the eight slots do; each is a frozen dataclass whose fields are hyperparameters.

Any component may have ``problems(space) -> Iterator[(field, message)]``: what cannot work in a search space,
``method_problems(method)``: beside the rest of a search; ``width_problems(channels)``: in cells of a width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from raynas.differentiable.objective import Objective
from raynas.differentiable.parameters import Parameters
from raynas.differentiable.schedule import Progress
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixing import Theta


@dataclass(frozen=True)
class Relaxed:
    """Mixing weights that a relaxation made.

    Attributes:
        theta: The weights.
        alive: What is computed, where that is less than what still counts; None: all that counts.
        dead_as_numbers: See ``raynas.supernets.mixing.Mixing``.
    """

    theta: Theta
    alive: Alive | None = None
    dead_as_numbers: bool = False


class Relaxation(Protocol):
    """``relaxation``: architecture parameters into mixing weights."""

    def theta(
        self, logits: Parameters, alive: Alive, progress: Progress, generator: torch.Generator
    ) -> Relaxed:
        """Weights of each row; zero where not alive.

        Args:
            logits: For each kind of cell ``(edges, columns)``.
            alive: What still counts.
            progress: How far the search is.
            generator: A CPU generator for this draw.
        """
        ...


class ArchGradient(Protocol):
    """``arch_gradient``: what the architecture parameters' optimiser is given for a gradient."""

    def gradient(self, alpha: Parameters, objective: Objective) -> Mapping[str, Tensor] | None:
        """The gradient; None where the parameters stay as they are."""
        ...


class ArchRegularizer(Protocol):
    """``arch_regularizer``: a penalty inside the objective of the architecture parameters."""

    def penalty(self, logits: Parameters, alive: Alive, progress: Progress) -> Tensor | None:
        """``()`` with a graph to the logits; None for nothing at all.

        Args:
            logits: For each kind of cell ``(edges, columns)``.
            alive: What still counts; logits of the rest have no say.
            progress: How far the search is.
        """
        ...


class MixingPerturbation(Protocol):
    """``mixing_perturbation``: mixing weights that the network weights' step is taken under."""

    def perturbed(
        self,
        theta: Theta,
        loss: Callable[[Theta], Tensor],
        alive: Alive,
        progress: Progress,
        generator: torch.Generator,
    ) -> Theta:
        """Other mixing weights.

        Args:
            theta: The relaxation's, outside any graph.
            loss: Their loss on the step's training batch, in evaluation mode, with a graph to them.
            alive: What still counts.
            progress: How far the search is.
            generator: A CPU generator for this step.
        """
        ...


class WeightRegularizer(Protocol):
    """``weight_regularizer``: the gradient that the network weights are moved by."""

    def gradients(
        self,
        theta: Theta,
        loss: Callable[[Theta], Tensor],
        weights: Sequence[Tensor],
        layout: Layout,
        progress: Progress,
    ) -> Sequence[Tensor]:
        """One gradient a weight.

        Args:
            theta: ``(cells, edges, columns)`` weights of each kind of cell, outside any graph.
            loss: Their loss on the step's training batch, with a graph to them and to the weights. Batch
                norm's running statistics follow its first call alone.
            weights: The network's.
            layout: Of the supernet.
            progress: How far the search is.
        """
        ...


@dataclass(frozen=True)
class Evaluation:
    """How a supernet does on the whole validation split.

    Attributes:
        loss: In nats.
        accuracy_pct: In percent.
    """

    loss: float
    accuracy_pct: float


@dataclass(frozen=True)
class Moment:
    """What a decision may look at, at the end of an epoch of the search or at the start of one of its tuning.

    Attributes:
        layout: Of the supernet.
        alpha: The architecture parameters.
        theta: Mixing weights of each kind, outside any graph, as ``evaluate`` takes them.
        alive: What still counts.
        epoch: Epochs of the search that are over.
        epochs: Epochs of the search.
        tuning: The epoch of tuning that is about to begin, from 0; None during the search.
        memory: What the decision returned to be kept, at earlier moments; plain data and tensors.
        evaluate: The supernet on the whole validation split with other mixing weights and operations alive;
            weights of edges stay as they are, and batch norm normalises by each batch.
        seed: Of this moment's draws.
    """

    layout: Layout
    alpha: Parameters
    theta: Theta
    alive: Alive
    epoch: int
    epochs: int
    tuning: int | None
    memory: Mapping[str, object]
    evaluate: Callable[[Theta, Alive], Evaluation]
    seed: int


@dataclass(frozen=True)
class Narrowing:
    """What a decision made of a moment.

    Attributes:
        alive: What counts from now on.
        memory: What it wants to see again.
        batch_size_step: By how much batches grow.
        channels_divisor: Partial channels to widen to: a ``1 / k`` share; None: as they are.
        rest_epochs: Epochs, the next ones, in which the architecture parameters stay as they are.
    """

    alive: Alive
    memory: Mapping[str, object] = field(default_factory=dict)
    batch_size_step: int = 0
    channels_divisor: int | None = None
    rest_epochs: int = 0


class Decision(Protocol):
    """``decision``: operations and edges are given up until an architecture is left."""

    def tuning_epochs(self, layout: Layout) -> int:
        """Epochs that it asks for after the search."""
        ...

    def narrowed(self, moment: Moment) -> Narrowing | None:
        """What counts from this moment on; None: nothing changes."""
        ...


@dataclass(frozen=True)
class Record:
    """One epoch of a search, for a rule that ends it.

    Attributes:
        valid_loss: Of the supernet, in nats.
        hessian_eigenvalue: The greatest of the validation loss's Hessian by the logits; None: not taken.
    """

    valid_loss: float
    hessian_eigenvalue: float | None = None


@dataclass(frozen=True)
class Stop:
    """The end of a search.

    Attributes:
        epoch: Number of epochs after which the architecture parameters were the answer's; 0: the first.
    """

    epoch: int


class Stopping(Protocol):
    """``stopping``: ends a search early, with the architecture of an earlier epoch."""

    def stop(self, history: Sequence[Record]) -> Stop | None:
        """Whether to end now; ``history`` has one entry an epoch that is over."""
        ...

    def final(self, history: Sequence[Record]) -> Stop | None:
        """At the last epoch, whose architecture is the answer; None: the last."""
        ...
