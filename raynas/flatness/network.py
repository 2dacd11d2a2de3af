"""Any trained network as a metric's subject, evaluated under other weights without being touched.

Batch norm normalises by the running statistics that the network came with; noise on weights moves none of
them. By default everything is computed in the network's own format: bfloat16, as in training, would round
small noise away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from raynas.errors import InputError
from raynas.flatness.noise import Noise, perturbed
from raynas.flatness.subject import Weights
from raynas.flatness.vector import Products, Vector, products

Batches: TypeAlias = Iterable[tuple[Tensor, Tensor]]
"""Inputs ``(n, ...)`` and labels ``(n,)``, the same at every iteration; batches may differ in size."""


class TrainedNetwork:
    """A network with its trained weights, and the images that it is measured on.

    The network is read, not copied: do not train it on while it is measured. Its weights, its statistics and
    its training mode are afterwards what they were.

    Args:
        network: Inputs to logits ``(n, n_classes)``.
        batches: Validation images on the network's device, such as ``raynas.data.batches.EvaluationBatches``.
        initial: Its weights before training, by name; None where they were not kept.
        name: Of the network, for draws of its own.
        arguments: What the network is called with after the images, such as a supernet's mixing weights.
        weights: The trained weights that count, by name, where the network has others that do not; None: all
            that it has.
        buffers: In place of the network's own of the same name, such as recalibrated statistics.
        in_cells: Whether a weight of that name belongs to the searched cells; None: all do.
        vector: What the vector whose angle is taken is made of; None: every weight once.
        context: Gives what every pass is computed in, such as another number format.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        *,
        initial: Weights | None = None,
        name: str = "",
        arguments: Sequence[Any] = (),
        weights: Weights | None = None,
        buffers: Weights | None = None,
        in_cells: Callable[[str], bool] | None = None,
        vector: Vector | None = None,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.name = name
        self.weights: Weights = {
            key: weight.detach()
            for key, weight in (dict(network.named_parameters()) if weights is None else weights).items()
        }
        self.initial = initial
        self._network = network
        self._pass = _Pass(network, tuple(arguments))
        # copies, so that not even a module that counts its calls is moved
        self._buffers = {
            key: buffer.detach().clone()
            for key, buffer in (dict(network.named_buffers()) if buffers is None else buffers).items()
        }
        self._batches = batches
        self._in_cells = in_cells
        self._context = context
        self._vector = Vector(dict.fromkeys(self.weights, 1)) if vector is None else vector

    def in_cells(self, name: str) -> bool:
        """Whether a weight belongs to the searched cells."""
        return self._in_cells is None or self._in_cells(name)

    def perturbed(self, noise: Noise) -> Sequence[Weights]:
        """The trained weights at every level of noise."""
        return perturbed(self.weights, noise, in_cells=self.in_cells)

    def losses(self, levels: Sequence[Weights]) -> list[float]:
        """Mean cross-entropy of all images under each of some weights, in nats.

        Raises:
            InputError: There are no images.
        """
        with torch.inference_mode():
            found = torch.stack([self._passed(weights).loss for weights in levels])
        return [float(loss) for loss in found.tolist()]  # one wait for the device

    def loss(self, weights: Weights) -> Tensor:
        """Mean cross-entropy of the first batch, ``()``."""
        return self._passed(weights, n_batches=1).loss.to(next(iter(weights.values())).dtype)

    def accuracy_pct(self) -> float:
        """Share of all images whose greatest logit, all being finite, is the label's, in percent.

        Raises:
            InputError: There are no images.
        """
        with torch.inference_mode():
            return 100 * float(self._passed(self.weights).right)

    def vector(self) -> Vector:
        """Which weights stand how often in the vector whose angle is taken."""
        return self._vector

    def products(self) -> Mapping[str, Products]:
        """Scalar products of the initial and the trained weights."""
        return self._products

    @cached_property
    def _products(self) -> dict[str, Products]:
        assert self.initial is not None
        return products(self.initial, self.weights, self._vector.times)

    def _passed(self, weights: Weights, *, n_batches: int | None = None) -> _Means:
        tensors = {f"network.{key}": tensor for key, tensor in {**self._buffers, **weights}.items()}
        with _evaluating(self._network), self._context():
            made: _Means = functional_call(self._pass, tensors, (islice(self._batches, n_batches),))
        return made


class _Means(NamedTuple):
    loss: Tensor
    right: Tensor


class _Pass(nn.Module):
    """One pass through images as one call, so that weights are put in and taken out once, not every batch."""

    def __init__(self, network: nn.Module, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.network = network
        self._arguments = arguments

    def forward(self, batches: Batches) -> _Means:
        dtype = next((part.dtype for part in self.network.parameters()), torch.float32)
        losses, right = [], []
        n_images = 0
        for images, labels in batches:
            logits = self.network(images.to(dtype), *self._arguments)
            # summed in float64, since slopes are small differences of losses
            losses.append(functional.cross_entropy(logits, labels, reduction="none").double().sum())
            # what is not a number has no greatest, though argmax names one
            right.append(((logits.argmax(1) == labels) & logits.isfinite().all(1)).sum())
            n_images += len(labels)
        if not n_images:
            raise InputError("there are no images to measure on; give batches that can be iterated anew")
        return _Means(torch.stack(losses).sum() / n_images, torch.stack(right).sum().double() / n_images)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and each part's own mode again afterwards."""
    modes = [(part, part.training) for part in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training
