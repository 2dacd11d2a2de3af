"""A differentiable search as data: its eight slots and its optimisers.

The defaults are DARTS at first order (Liu et al., ICLR 2019) with the constants of its released code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from raynas.differentiable.schedule import Cosine, Linear, Ramp
from raynas.lookup import Slot, build, name_of
from raynas.ranges import require_positive, require_sgd

if TYPE_CHECKING:
    from raynas.spaces import SearchSpace

SLOTS: Mapping[str, Slot] = {
    name: Slot(f"raynas.differentiable.{name}", many=name in ("mixed_op", "decision"))
    for name in (
        "relaxation",
        "arch_gradient",
        "arch_regularizer",
        "mixing_perturbation",
        "weight_regularizer",
        "mixed_op",
        "decision",
        "stopping",
    )
}
"""The eight slots by their names."""


CHANGEABLE = (
    "relaxation",
    "arch_gradient",
    "arch_regularizer",
    "mixing_perturbation",
    "weight_regularizer",
    "weights",
    "alpha.lr",
    "alpha.betas",
    "alpha.weight_decay",
)
"""Whose numbers a search under way may change, since none of its state hangs on them."""

# built when they are needed, since they import torch
_softmax = partial(build, SLOTS["relaxation"].package, "softmax")
_first_order = partial(build, SLOTS["arch_gradient"].package, "first_order")


@dataclass(frozen=True)
class WeightOptimizer:
    """SGD on the network's weights.

    Attributes:
        lr: Learning rate of the first epoch; epoch e of E, from 0, has
            ``lr_min + (lr - lr_min) * (1 + cos(pi * e / E)) / 2``.
        lr_min: What the learning rate falls towards.
        momentum: Momentum.
        nesterov: Nesterov's momentum.
        weight_decay: L2 coefficient on all weights.
        clip: Greatest L2 norm of all gradients together; None: any.
        tuning_lr: Learning rate, constant, while decisions are followed by tuning (DARTS-PT).
    """

    lr: float = 0.025
    lr_min: float = 0.001
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 3e-4
    clip: float | None = 5.0
    tuning_lr: float = 0.0025

    def __post_init__(self) -> None:
        for name in ("lr", "tuning_lr"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive and finite; give 0.025")
        if not 0 <= self.lr_min <= self.lr:
            raise ValueError(f"lr_min: {self.lr_min} is outside 0 to lr, {self.lr}")
        require_sgd(
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            clip=self.clip,
        )

    def lr_at(self, epoch: int, epochs: int) -> float:
        """Learning rate of an epoch, from 0."""
        return self.lr_min + (self.lr - self.lr_min) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@dataclass(frozen=True)
class ArchOptimizer:
    """Adam on the architecture parameters.

    Attributes:
        lr: Learning rate, constant.
        betas: Decay of the moments.
        weight_decay: L2 coefficient, inside the gradient as in Adam's first form.
        initial_scale: Standard deviation of the parameters at the beginning, normal around 0.
    """

    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 1e-3
    initial_scale: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr: {self.lr} is not positive and finite; give 3e-4 or so")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: {list(self.betas)} are not in [0, 1); give [0.5, 0.999]")
        for name in ("weight_decay", "initial_scale"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: {getattr(self, name)} is negative or not finite; give 0 for none")


@dataclass(frozen=True)
class Method:
    """One differentiable search.

    Attributes:
        relaxation: Architecture parameters into mixing weights.
        arch_gradient: What the architecture parameters are moved by.
        arch_regularizer: Penalty inside their objective.
        mixing_perturbation: Perturbation of the mixing weights under the weights' step.
        weight_regularizer: What the network weights are moved by; None: the loss's gradient.
        mixed_op: What wraps every edge, the first outermost.
        decision: What gives operations and edges up, one after another; the rest is decided by magnitude.
        stopping: What ends the search early.
        epochs: Epochs of the search, without those of tuning.
        warmup_epochs: Epochs at the beginning in which the architecture parameters rest.
        order: Which of the two steps comes first on every pair of batches.
        batch_size: Images of a training batch and of a validation batch.
        augment_valid: Whether the validation batches of the alpha-step are augmented as the training batches.
        weights: SGD on the network's weights.
        alpha: Adam on the architecture parameters.
    """

    relaxation: Annotated[Any, SLOTS["relaxation"]] = field(default_factory=_softmax)
    arch_gradient: Annotated[Any, SLOTS["arch_gradient"]] = field(default_factory=_first_order)
    arch_regularizer: Annotated[Any, SLOTS["arch_regularizer"]] | None = None
    mixing_perturbation: Annotated[Any, SLOTS["mixing_perturbation"]] | None = None
    weight_regularizer: Annotated[Any, SLOTS["weight_regularizer"]] | None = None
    mixed_op: Annotated[tuple[Any, ...], SLOTS["mixed_op"]] = ()
    decision: Annotated[tuple[Any, ...], SLOTS["decision"]] = ()
    stopping: Annotated[Any, SLOTS["stopping"]] | None = None
    epochs: int = 50
    warmup_epochs: int = 0
    order: Literal["alpha_first", "w_first"] = "alpha_first"
    batch_size: int = 64
    augment_valid: bool = True
    weights: WeightOptimizer = field(default_factory=WeightOptimizer)
    alpha: ArchOptimizer = field(default_factory=ArchOptimizer)

    def __post_init__(self) -> None:
        require_positive(epochs=self.epochs, batch_size=self.batch_size)
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs: {self.warmup_epochs} is negative; give 0 for none")

    def components(self) -> Iterator[tuple[str, Any]]:
        """Every component with the dotted path of its key."""
        for name, slot in SLOTS.items():
            filled = getattr(self, name)
            if slot.many:
                yield from ((f"{name}.{at}", component) for at, component in enumerate(filled))
            elif filled is not None:
                yield name, filled

    def structure(self) -> dict[str, str]:
        """What a search under way cannot change: of each field the component's class, or all of its value.

        Methods of equal structure can go on from each other's checkpoints.
        """
        changeable = {path.partition(".")[0] for path in CHANGEABLE}
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            name: _classes(value) if name in changeable else repr(value) for name, value in values.items()
        }

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a search space, as (field, message)."""
        for path, component in self.components():
            for name, message in getattr(component, "problems", lambda space: ())(space):
                yield f"{path}.{name}", message
            for name, message in getattr(component, "method_problems", lambda method: ())(self):
                yield f"{path}.{name}", message
        if self.warmup_epochs >= self.epochs:
            yield (
                "warmup_epochs",
                f"in all {self.epochs} epochs the architecture parameters would rest; give fewer than epochs,"
                " or arch_gradient: frozen",
            )
        yield from self._mismatches()
        yield from self._skipped(space)
        names = {type(component).__name__ for component in self.mixed_op}
        if len(names) < len(self.mixed_op):
            yield "mixed_op", "wraps the edges twice in the same; name each wrapper once"
        if (
            self.arch_regularizer is not None
            and name_of(SLOTS["arch_gradient"].package, self.arch_gradient) == "frozen"
        ):
            yield "arch_regularizer", "has nothing to act on where arch_gradient is frozen; leave it out"

    def _mismatches(self) -> Iterator[tuple[str, str]]:
        """Components that cannot work together; each says of itself what it needs and what it lacks."""
        relaxed = f"relaxation {_named('relaxation', self.relaxation)}"
        for slot in ("arch_gradient", "mixing_perturbation"):
            moving, path = getattr(self, slot), slot
            while moving is not None:
                if getattr(moving, "moves_mixing", False) and not getattr(
                    self.relaxation, "computes_all", True
                ):
                    name = _named(slot, moving)
                    yield (
                        path,
                        f"{name} moves the weights of all operations, {relaxed} computes one; use softmax",
                    )
                moving, path = getattr(moving, "inner", None), f"{path}.inner"
        twice = getattr(self.relaxation, "twice_differentiable", True)
        if getattr(self.stopping, "needs_second_derivatives", False) and not twice:
            name = _named("stopping", self.stopping)
            yield (
                "stopping",
                f"{name} takes second derivatives, {relaxed} has first ones only; use softmax",
            )

    def _skipped(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """Decisions after the last epoch, which a search that is ended before does not come to."""
        if self.stopping is None or not self.decision:
            return
        from raynas.supernets.layout import Layout  # loads torch

        layout = Layout(space)
        for decision in self.decision:
            if decision.tuning_epochs(layout):
                name = _named("decision", decision)
                yield "stopping", f"{name} decides after the last epoch; leave one of the two out"
                return

    def width_problems(self, channels: int) -> Iterator[tuple[str, str]]:
        """What cannot work with cells of a width, as (field, message).

        Args:
            channels: Of the narrowest cell.
        """
        for path, component in self.components():
            for name, message in getattr(component, "width_problems", lambda channels: ())(channels):
                yield f"{path}.{name}", message


def _classes(component: Any) -> str:
    """Name of a component's class, with those of components inside it."""
    inner = []
    for entry in fields(component) if is_dataclass(component) else ():
        value = getattr(component, entry.name)
        if is_dataclass(value) and not isinstance(value, Linear | Ramp | Cosine):
            inner.append(f"{entry.name}={_classes(value)}")
    return type(component).__name__ + (f"({', '.join(inner)})" if inner else "")


def _named(slot: str, component: Any) -> str:
    return name_of(SLOTS[slot].package, component)
