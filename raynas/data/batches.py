"""Batches of images that lie on a device: shuffled and augmented to train on, in order to evaluate on.

All random numbers of an epoch are drawn on the CPU and sent over once, so the order and the augmentation are
the same on every device, and no step waits for the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from raynas.data.device import DeviceSplit
from raynas.data.images import UNCHANGED, Augmentation

Batch = tuple[Tensor, Tensor]


class TrainingBatches:
    """A new random order at every iteration; each iteration is one epoch.

    An epoch's random numbers are drawn when its first batch is asked for, so the state between two epochs is
    that of the two generators alone.

    Args:
        split: Where the images lie.
        batch_size: Images a batch; the last may be smaller.
        order_seed: Seed of the order.
        augmentation: What every image goes through; the default changes nothing and draws nothing.
        augmentation_seed: Seed of the augmentation, a stream of its own, so that it does not disturb the
            order.
        drop_last: Leave a smaller last batch out.

    Attributes:
        batch_size: Images a batch; may be changed between two epochs.

    Raises:
        ValueError: There would be no batch.
    """

    def __init__(
        self,
        split: DeviceSplit,
        *,
        batch_size: int,
        order_seed: int,
        augmentation: Augmentation = UNCHANGED,
        augmentation_seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size}; due is 1 or more")
        if drop_last and len(split) < batch_size:
            raise ValueError(f"batch_size: {batch_size} of {len(split)} images leaves no whole batch")
        self._split = split
        self.batch_size = batch_size
        self._augmentation = augmentation
        self._drop_last = drop_last
        self._order = torch.Generator().manual_seed(order_seed)
        self._draws = torch.Generator().manual_seed(augmentation_seed)

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self._split), self.batch_size)
        return whole + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[Batch]:
        """The epoch's ``(n, C, H, W)`` float32 inputs and ``(n,)`` labels, batch by batch."""
        n_images = len(self._split)
        order = torch.randperm(n_images, generator=self._order).to(self._split.device)
        flips, offsets = drawn(self._augmentation, n_images, self._draws, self._split.device)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            now = slice(start, start + self.batch_size)
            yield batch(self._split, order[now], self._augmentation, _part(flips, now), _part(offsets, now))

    def state_dict(self) -> dict[str, Tensor]:
        """Both generators' states, as of the end of the last epoch."""
        return {"order": self._order.get_state(), "augmentation": self._draws.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on where the state was taken."""
        self._order.set_state(state["order"])
        self._draws.set_state(state["augmentation"])


class RandomBatches:
    """Batches drawn from the whole split anew each time, as DARTS draws its validation batches.

    Args:
        split: Where the images lie.
        batch_size: Different images a batch; the whole split where it is smaller.
        seed: Of the choice.
        augmentation: What every image goes through.
        augmentation_seed: Seed of the augmentation, a stream of its own.

    Attributes:
        batch_size: Images a batch; may be changed when no batch is being taken.
    """

    def __init__(
        self,
        split: DeviceSplit,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation = UNCHANGED,
        augmentation_seed: int = 0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size}; due is 1 or more")
        self._split = split
        self.batch_size = batch_size
        self._augmentation = augmentation
        self._choice = torch.Generator().manual_seed(seed)
        self._draws = torch.Generator().manual_seed(augmentation_seed)

    def take(self, n_batches: int) -> Iterator[Batch]:
        """Batches, whose random numbers are all drawn when the first is asked for."""
        n_images = len(self._split)
        size = min(self.batch_size, n_images)
        chosen = [torch.randperm(n_images, generator=self._choice)[:size] for _ in range(n_batches)]
        places = torch.cat(chosen).to(self._split.device)
        flips, offsets = drawn(self._augmentation, len(places), self._draws, self._split.device)
        for start in range(0, len(places), size):
            now = slice(start, start + size)
            yield batch(self._split, places[now], self._augmentation, _part(flips, now), _part(offsets, now))

    def state_dict(self) -> dict[str, Tensor]:
        """Both generators' states, as of the last batches taken."""
        return {"choice": self._choice.get_state(), "augmentation": self._draws.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on where the state was taken."""
        self._choice.set_state(state["choice"])
        self._draws.set_state(state["augmentation"])


class EvaluationBatches:
    """All images in their own order, unaugmented.

    Args:
        split: Where the images lie.
        batch_size: Images a batch; the last may be smaller.
    """

    def __init__(self, split: DeviceSplit, *, batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size}; due is 1 or more")
        self._split = split
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._split) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The ``(n, C, H, W)`` float32 inputs and ``(n,)`` labels, batch by batch."""
        for start in range(0, len(self._split), self.batch_size):
            now = slice(start, start + self.batch_size)
            yield self._split.normalized(self._split.images[now]), self._split.labels[now]


def drawn(
    augmentation: Augmentation, n_images: int, generator: torch.Generator, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Random numbers for ``augmented``: which images to mirror, and where windows are; None for no such."""
    pad = augmentation.crop_pad
    flips = offsets = None
    if augmentation.flip:
        flips = torch.randint(2, (n_images,), generator=generator).to(device) > 0
    if pad:
        offsets = torch.randint(2 * pad + 1, (n_images, 2), generator=generator).to(device)
    return flips, offsets


def batch(
    split: DeviceSplit,
    places: Tensor,
    augmentation: Augmentation,
    flips: Tensor | None,
    offsets: Tensor | None,
) -> Batch:
    """Network inputs and labels of some of a split's images; see ``augmented``."""
    images = split.images[places]
    if flips is not None or offsets is not None:
        images = augmented(images, flips=flips, offsets=offsets, crop_pad=augmentation.crop_pad)
    return split.normalized(images), split.labels[places]


def _part(numbers: Tensor | None, now: slice) -> Tensor | None:
    return None if numbers is None else numbers[now]


def augmented(images: Tensor, *, flips: Tensor | None, offsets: Tensor | None, crop_pad: int) -> Tensor:
    """Images mirrored and then cropped, each by its own draw, in one gather.

    Args:
        images: ``(n, C, H, W)`` pixels.
        flips: ``(n,)`` bool, which to mirror; None for none.
        offsets: ``(n, 2)``, top and left edge of each window in the padded image, 0 to ``2 * crop_pad``; None
            for no crop.
        crop_pad: Pixels of zeros on every side.

    Returns:
        ``(n, C, H, W)`` pixels.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)[None, :]
    columns = torch.arange(width, device=images.device)[None, :]
    pad = 0
    if offsets is not None:
        pad = crop_pad
        images = functional.pad(images, (pad, pad, pad, pad))
        rows = rows + offsets[:, :1]
        columns = columns + offsets[:, 1:]
    if flips is not None:
        # A column of the mirrored, padded image, counted in the padded image as it lies.
        columns = torch.where(flips[:, None], width + 2 * pad - 1 - columns, columns)
    n_images, n_channels = images.shape[:2]
    each = torch.arange(n_images, device=images.device)[:, None, None, None]
    channel = torch.arange(n_channels, device=images.device)[None, :, None, None]
    return images[each, channel, rows[:, None, :, None], columns[:, None, None, :]]
