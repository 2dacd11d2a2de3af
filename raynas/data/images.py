"""An image dataset in memory, and what a component of ``raynas.data.dataset`` must do; NumPy only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """The images of one split, in a fixed order.

    Attributes:
        images: ``(n, C, H, W)`` uint8.
        labels: ``(n,)`` int64.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Split:
        """The images at the given places, in the given order, copied."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Augmentation:
    """What a training image goes through, in this order.

    Attributes:
        flip: Mirror left to right with probability 1/2.
        crop_pad: Pixels of zeros (black, before normalisation) around the image, of which a window of its old
            size is drawn; 0 crops nothing.
    """

    flip: bool = False
    crop_pad: int = 0

    def __post_init__(self) -> None:
        if self.crop_pad < 0:
            raise ValueError(f"crop_pad: {self.crop_pad} is negative; give 0 or more pixels")


UNCHANGED = Augmentation()
"""No augmentation."""


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Three splits and how their pixels become network inputs: ``(pixel / scale - mean) / std``.

    Attributes:
        train: What weights are trained on.
        valid: What a search may look at.
        test: What a search must not look at.
        scale: The largest pixel value, 255 or 16.
        mean: A channel's mean after division by ``scale``.
        std: A channel's standard deviation, likewise.
        n_classes: Labels run from 0 to ``n_classes - 1``.
        augmentation: What the dataset's training images go through by custom.

    Raises:
        ValueError: The parts do not fit together; the message names the first that does not.
    """

    train: Split
    valid: Split
    test: Split
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    n_classes: int
    augmentation: Augmentation = UNCHANGED

    def __post_init__(self) -> None:
        for name, split in (("train", self.train), ("valid", self.valid), ("test", self.test)):
            if split.images.dtype != np.uint8 or split.images.ndim != 4 or split.labels.dtype != np.int64:
                raise ValueError(
                    f"{name}: images are {describe(split.images)} and labels {describe(split.labels)}; "
                    "due are uint8 (n, C, H, W) and int64 (n,)"
                )
            if split.labels.shape != (len(split.images),) or not len(split):
                raise ValueError(f"{name}: {len(split.images)} images with {describe(split.labels)} labels")
            if split.images.shape[1:] != self.image_shape:
                raise ValueError(
                    f"{name}: images of {split.images.shape[1:]}, where train has {self.image_shape}"
                )
            if split.labels.min() < 0 or split.labels.max() >= self.n_classes:
                raise ValueError(
                    f"{name}: labels from {split.labels.min()} to {split.labels.max()}; "
                    f"due is 0 to {self.n_classes - 1}"
                )
        if not len(self.mean) == len(self.std) == self.image_shape[0]:
            raise ValueError(f"mean and std must have one value for each of {self.image_shape[0]} channels")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of every image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


class DatasetSpec(Protocol):
    """The options of a dataset; a frozen, hashable dataclass in ``raynas/data/dataset/``."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """What stands in the way of loading, as (field, message); no file is read for it."""
        ...

    def load(self) -> ImageDataset:
        """The dataset.

        Raises:
            InputError: A file is missing, truncated or not what it should be.
        """
        ...


def describe(array: NDArray[np.generic]) -> str:
    """An array's dtype and shape in a few characters, for messages."""
    return f"{array.dtype} {array.shape}"


def channel_statistics(
    images: NDArray[np.uint8], scale: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel after division by the scale.

    Args:
        images: ``(n, C, H, W)``.
        scale: The largest pixel value.

    Returns:
        ``C`` means and ``C`` deviations; the deviation of a constant channel is given as 1, so that it can be
        divided by.
    """
    # Exact integer sums of a channel's 256 possible values: no float copy of all images, and no rounding.
    means, deviations = [], []
    values = np.arange(256) / scale
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].ravel(), minlength=256)
        mean = float(counts @ values / counts.sum())
        deviation = float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))
        means.append(mean)
        deviations.append(deviation or 1.0)
    return tuple(means), tuple(deviations)
