"""Datasets as they lie on a device: all images, as uint8, so that training copies nothing from the host."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from raynas.data.images import Augmentation, DatasetSpec, ImageDataset, Split
from raynas.errors import InputError


@dataclass(frozen=True, eq=False)
class DeviceSplit:
    """One split on a device, with what turns its pixels into network inputs.

    Attributes:
        images: ``(n, C, H, W)`` uint8.
        labels: ``(n,)`` int64.
        shift: ``(C, 1, 1)`` float32, subtracted from pixels; the mean in units of pixels.
        divisor: ``(C, 1, 1)`` float32, which the difference is divided by; the deviation in units of pixels.
    """

    images: Tensor
    labels: Tensor
    shift: Tensor
    divisor: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self.images.device

    def normalized(self, images: Tensor) -> Tensor:
        """Network inputs of pixels, ``(n, C, H, W)`` float32."""
        return (images.to(torch.float32) - self.shift) / self.divisor


@dataclass(frozen=True, eq=False)
class DeviceDataset:
    """A dataset on a device.

    Attributes:
        train: What weights are trained on.
        valid: What a search may look at.
        test: What a search must not look at.
        n_classes: Labels run from 0 to ``n_classes - 1``.
        augmentation: What the training images go through by custom.
    """

    train: DeviceSplit
    valid: DeviceSplit
    test: DeviceSplit
    n_classes: int
    augmentation: Augmentation

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of every image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


def on_device(dataset: ImageDataset, device: str) -> DeviceDataset:
    """A copy of a dataset on a device, ``cpu`` and ``cuda:1`` among them.

    Raises:
        InputError: There is no such device.
    """
    _require(device)
    shift = torch.tensor(dataset.mean, dtype=torch.float32, device=device)[:, None, None] * dataset.scale
    divisor = torch.tensor(dataset.std, dtype=torch.float32, device=device)[:, None, None] * dataset.scale

    def moved(split: Split) -> DeviceSplit:
        images = torch.tensor(split.images, device=device)
        return DeviceSplit(images, torch.tensor(split.labels, device=device), shift, divisor)

    return DeviceDataset(
        train=moved(dataset.train),
        valid=moved(dataset.valid),
        test=moved(dataset.test),
        n_classes=dataset.n_classes,
        augmentation=dataset.augmentation,
    )


# Processes are reused for many trials. Two, so that a process may alternate between two datasets and none of
# them piles up on the GPU; tensors handed out are shared, and nobody writes to them.
@lru_cache(maxsize=2)
def resident(spec: DatasetSpec, device: str) -> DeviceDataset:
    """The dataset that a component describes, loaded once a process and kept for the next trial.

    Args:
        spec: A dataset component; equal components are the same dataset.
        device: As torch writes it.

    Raises:
        InputError: A file is missing, truncated or not what it should be, or there is no such device.
    """
    return on_device(spec.load(), device)


def _require(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter of a PyTorch that is without CUDA
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"device {device}: PyTorch cannot use it: {reason}; use cpu, or another") from error
