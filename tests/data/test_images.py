"""An image dataset refuses parts that do not fit together."""

from __future__ import annotations

import numpy as np
import pytest

from raynas.data.images import Augmentation, ImageDataset, Split, channel_statistics


def split(n=4, shape=(1, 3, 3), label=0):
    return Split(np.zeros((n, *shape), np.uint8), np.full(n, label))


def dataset(**changes):
    parts = {"train": split(), "valid": split(), "test": split(), "scale": 255, "mean": (0.0,), "std": (1.0,)}
    return ImageDataset(**{**parts, "n_classes": 2, **changes})


def test_fitting_parts_make_a_dataset_without_augmentation():
    assert dataset().augmentation == Augmentation(flip=False, crop_pad=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"valid": split(shape=(1, 3, 4))}, r"valid: images of \(1, 3, 4\), where train has \(1, 3, 3\)"),
        ({"test": split(label=2)}, "test: labels from 2 to 2; due is 0 to 1"),
        ({"test": split(n=0)}, "test: 0 images"),
        (
            {"train": Split(np.zeros((2, 9), np.uint8), np.zeros(2, np.int64))},
            r"train: images are uint8 \(2, 9\)",
        ),
        ({"train": Split(np.zeros((2, 1, 3, 3), np.uint8), np.zeros(3, np.int64))}, "train: 2 images with"),
        ({"std": (1.0, 1.0)}, "one value for each of 1 channels"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        dataset(**changes)


def test_channel_statistics_are_numpys():
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 5, 4), dtype=np.uint8)
    mean, std = channel_statistics(images, 255)
    assert mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)))
    assert std == pytest.approx((images / 255).std(axis=(0, 2, 3)))
