"""A shifted test set: the test images moved, turned, made noisy and paled, as none of them is in training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raynas import seeding
from raynas.data.images import ImageDataset

NAMES = ("up", "down", "left", "right", "turned_left", "turned_right", "noisy", "pale")
"""The copies, in order."""

ANGLE_DEG = 20.0
NOISE = 0.2
CONTRAST = 0.7
SEED = 777


def shifted(dataset: ImageDataset) -> dict[str, NDArray[np.float32]]:
    """Copies of a dataset's test images, each shifted in one way.

    Moved by one pixel, turned by 20 degrees (interpolated linearly), both filled with zeros; with normal
    noise of 0.2 of the largest pixel value, clipped to the range of pixels; with 0.7 of the contrast, black
    staying black.

    Returns:
        For each of ``NAMES``, ``(n, C, H, W)`` network inputs, normalised as the dataset's own.
    """
    from scipy import ndimage

    pixels = dataset.test.images / dataset.scale
    noise = seeding.generator(SEED, "shifted").normal(0, NOISE, pixels.shape)
    copies = {
        "up": _moved(pixels, -1, axis=2),
        "down": _moved(pixels, 1, axis=2),
        "left": _moved(pixels, -1, axis=3),
        "right": _moved(pixels, 1, axis=3),
        "turned_left": ndimage.rotate(pixels, ANGLE_DEG, axes=(3, 2), reshape=False, order=1),
        "turned_right": ndimage.rotate(pixels, -ANGLE_DEG, axes=(3, 2), reshape=False, order=1),
        "noisy": np.clip(pixels + noise, 0, 1),
        "pale": CONTRAST * pixels,
    }
    mean, std = (np.array(values)[:, None, None] for values in (dataset.mean, dataset.std))
    return {name: ((copies[name] - mean) / std).astype(np.float32) for name in NAMES}


def _moved(pixels: NDArray[np.float64], by: int, *, axis: int) -> NDArray[np.float64]:
    moved = np.roll(pixels, by, axis)
    edge = 0 if by > 0 else -1
    moved[(slice(None),) * axis + (edge,)] = 0
    return moved
