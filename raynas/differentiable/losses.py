"""The losses of a supernet on a batch, each way that a search takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from raynas.data.batches import Batch
from raynas.supernets.draws import drawn_from
from raynas.supernets.mixing import Mixing
from raynas.supernets.precision import autocast
from raynas.supernets.statistics import untracked
from raynas.supernets.supernet import Supernet


class Tally:
    """Mean loss and accuracy over batches; summed on the device, so that no step waits for them."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device)
        self._n_images = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Counts a batch.

        Args:
            loss: ``()``, the batch's mean.
            logits: ``(n, n_classes)``.
            labels: ``(n,)``.
        """
        self._loss += loss.detach() * len(labels)
        self._correct += (logits.detach().argmax(1) == labels).sum()
        self._n_images += len(labels)

    def means(self) -> tuple[float, float]:
        """Mean loss in nats, and accuracy in percent."""
        loss, correct = torch.stack([self._loss, self._correct]).tolist()
        return loss / self._n_images, 100 * correct / self._n_images


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropy of a supernet.

    Attributes:
        supernet: The supernet; channels-last weights suit the images, which are given to it so.
        precision: See ``raynas.supernets.precision``.
    """

    supernet: Supernet
    precision: str = "float32"

    def of(
        self, batch: Batch, mixing: Mixing, seed: int, weights: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Loss and logits, in the mode that the supernet is in.

        Args:
            batch: Images and labels.
            mixing: What to weigh operations by.
            seed: Of what operations draw.
            weights: By name, instead of the supernet's own.
        """
        with drawn_from(seed, batch[0].device):
            return self.passed(batch, mixing, weights)

    def passed(
        self, batch: Batch, mixing: Mixing, weights: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As ``of``, with draws from the random state that there is."""
        images, labels = batch
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(self.precision, images.device):
            if weights is None:
                logits = self.supernet(images, mixing)
            else:
                logits = torch.func.functional_call(self.supernet, dict(weights), (images, mixing))
            return functional.cross_entropy(logits, labels), logits

    def untracked(
        self, batch: Batch, mixing: Mixing, seed: int, weights: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """The loss by the batch's own statistics, leaving the running ones alone; see ``of``."""
        with untracked(self.supernet):
            return self.of(batch, mixing, seed, weights)[0]

    def by_mixing(self, batch: Batch, mixing: Mixing, seed: int) -> Tensor:
        """The loss as of ``untracked``, for whoever differentiates it by the mixing weights alone."""
        return self.untracked(batch, mixing, seed)

    def by_weights(
        self, batch: Batch, mixing: Mixing, seed: int, weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Loss and logits as of ``of``, and the loss's derivatives.

        Args:
            batch: Images and labels.
            mixing: What to weigh operations by; outside any graph.
            seed: Of what operations draw.
            weights: The supernet's, all and in their order.
        """
        loss, logits = self.of(batch, mixing, seed)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        return loss, logits, gradients

    def forget(self) -> None:
        """Other passes come from now on, or other tensors are the weights; nothing is kept here anyway."""

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The supernet in evaluation mode, which normalises by running statistics; in training mode after."""
        self.supernet.eval()
        try:
            yield
        finally:
            self.supernet.train()
