"""What a metric of flatness measures, and what it gives: the types of ``raynas.flatness.metric``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from raynas.flatness.noise import Noise
    from raynas.flatness.vector import Products, Vector

Weights: TypeAlias = "Mapping[str, Tensor]"
"""Trained weights by name, as ``named_parameters`` names them; batch norm's statistics are none of them."""


class Subject(Protocol):
    """A trained network as metrics see it: its weights and its losses, not how images pass through it.

    Nothing here changes the network, its statistics included. What many candidates have in common, such as
    the perturbed weights of one supernet, an implementation may make once and keep.
    """

    @property
    def name(self) -> str:
        """Names draws that are to be its own, such as the architecture in its notation."""
        ...

    @property
    def weights(self) -> Weights:
        """After training."""
        ...

    @property
    def initial(self) -> Weights | None:
        """Before training, with the same names; None where they were not kept."""
        ...

    def in_cells(self, name: str) -> bool:
        """Whether a weight belongs to the searched cells: not to the stem, not to the classifier."""
        ...

    def perturbed(self, noise: Noise) -> Sequence[Weights]:
        """What ``raynas.flatness.noise.perturbed`` makes of the trained weights, level by level."""
        ...

    def losses(self, levels: Sequence[Weights]) -> list[float]:
        """Mean cross-entropy over the validation images under each of some weights, in nats.

        In evaluation mode, by the batch-norm statistics of the trained weights as they are.
        """
        ...

    def loss(self, weights: Weights) -> Tensor:
        """Mean cross-entropy of one validation batch, always the same, ``()``; twice differentiable."""
        ...

    def accuracy_pct(self) -> float:
        """Of the trained weights, on the validation images."""
        ...

    def vector(self) -> Vector:
        """Which weights stand how often in the vector whose angle is taken."""
        ...

    def products(self) -> Mapping[str, Products]:
        """What ``raynas.flatness.vector.products`` makes of the initial and the trained weights.

        Asked for only where ``initial`` is not None; of at least the weights that ``vector`` names.
        """
        ...


@dataclass(frozen=True)
class Measured:
    """What a metric found.

    Attributes:
        value: In the metric's own unit; the higher, the better.
        share: The same in the form in which metrics are added up, about 0 to 1.
        metrics: All that is to be reported, by name.
    """

    value: float
    share: float
    metrics: Mapping[str, float]


class Metric(Protocol):
    """What fills the slot ``raynas.flatness.metric``: a frozen dataclass that measures a trained network."""

    @property
    def reports(self) -> tuple[str, ...]:
        """Names in ``Measured.metrics``, the one of ``Measured.value`` first."""
        ...

    def measure(self, subject: Subject, seed: int) -> Measured:
        """Measures.

        Args:
            subject: What; not changed.
            seed: The run's; every draw is a named stream of it.

        Raises:
            InputError: The subject lacks what the metric needs.
        """
        ...
