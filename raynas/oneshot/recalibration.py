"""Batch norms' running statistics along one path of a supernet (SPOS; Guo et al., ECCV 2020, Sec. 3.3).

Those that a supernet comes with are of all paths at once. Before a path is evaluated they are reset and taken
anew from training images that pass along it, each batch normalised by its own statistics, without gradients.

Departure: by default the batches' statistics are averaged. GeNAS's code keeps the running mean of training,
which begins with (0, 1) and after its 14 batches is still made of that for 0.9 ** 14 = 23 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from raynas.data.batches import TrainingBatches
from raynas.data.device import DeviceDataset
from raynas.data.images import UNCHANGED
from raynas.oneshot.settings import Recalibration
from raynas.seeding import derive
from raynas.supernets.draws import drawn_from
from raynas.supernets.mixing import Mixing
from raynas.supernets.precision import autocast
from raynas.supernets.supernet import Supernet


def recalibrated(
    supernet: Supernet,
    mixing: Mixing,
    batches: Sequence[Tensor],
    settings: Recalibration,
    *,
    seed: int = 0,
    precision: str = "float32",
) -> dict[str, Tensor]:
    """All statistics of a supernet's batch norms, anew along a path.

    Args:
        supernet: Read only; its own statistics stay as they are, to the last bit.
        mixing: The path.
        batches: ``(n, C, H, W)`` network inputs each.
        settings: How statistics of batches are put together.
        seed: Of what operations draw.
        precision: See ``raynas.supernets.precision``.

    Returns:
        The supernet's buffers by name; of batch norms that are not on the path (0, 1).
    """
    buffers = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    for name, buffer in buffers.items():
        buffer.fill_(float(name.endswith("running_var")))
    device = batches[0].device
    with torch.no_grad(), _training(supernet), drawn_from(seed, device):
        for n_before, images in enumerate(batches):
            momentum = settings.momentum if settings.mode == "ema" else 1 / (n_before + 1)
            with _momentum(supernet, momentum), autocast(precision, device):
                torch.func.functional_call(supernet, buffers, (images, mixing))
    return buffers


def share_of_batches(settings: Recalibration, n_batches: int) -> list[float]:
    """How much of each batch's statistics is in the end's; what is missing to 1 is (0, 1)'s share.

    Args:
        settings: How statistics of batches are put together.
        n_batches: How many batches.
    """
    if settings.mode == "average":
        return [1 / n_batches] * n_batches
    momentum = settings.momentum
    return [momentum * (1 - momentum) ** (n_batches - 1 - at) for at in range(n_batches)]


class RecalibrationImages:
    """The batches by which sub-networks are recalibrated.

    Args:
        data: Whose training images.
        settings: Which and how many.
        seed: Of their choice.
    """

    def __init__(self, data: DeviceDataset, settings: Recalibration, *, seed: int) -> None:
        self._data, self._settings, self._seed = data, settings, seed
        self._kept: list[Tensor] | None = None

    def batches(self, name: str) -> list[Tensor]:
        """``(n, C, H, W)`` network inputs, all batches of one size; fewer where there are fewer images.

        Args:
            name: Of the sub-network; of influence in mode ``ema`` alone.
        """
        if self._settings.mode == "ema":
            return list(self._drawn(self._seed, name, augment=True))
        if self._kept is None:
            self._kept = list(self._drawn(self._seed, "all", augment=False))
        return self._kept

    def _drawn(self, seed: int, name: str, *, augment: bool) -> Iterator[Tensor]:
        settings, split = self._settings, self._data.train
        batches = TrainingBatches(
            split,
            batch_size=min(settings.batch_size, len(split)),
            order_seed=derive(seed, "recalibration", name),
            augmentation=self._data.augmentation if augment else UNCHANGED,
            augmentation_seed=derive(seed, "recalibration_augmentation", name),
            drop_last=True,
        )
        for images, _ in islice(batches, settings.n_batches):
            yield images


@contextmanager
def _training(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.train()
    try:
        yield
    finally:
        network.train(was_training)


@contextmanager
def _momentum(network: nn.Module, momentum: float) -> Iterator[None]:
    """The weight of the newest batch in all running statistics is another."""
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = momentum
        yield
    finally:
        for norm, value in zip(norms, before, strict=True):
            norm.momentum = value
