"""Scikit-learn's bundled handwritten digits: 1,797 images of 8x8 in ten classes; no file, no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raynas.data.images import ImageDataset, Split, channel_statistics


@dataclass(frozen=True)
class Digits:
    """600 images to train on, 500 to validate and 697 to test, drawn once and for all, stratified.

    Pixels run from 0 to 16. Mean and standard deviation are those of the training pixels. No augmentation: a
    mirrored digit is another digit, and a shift by a pixel is a tenth of the image.
    """

    def problems(self) -> Iterator[tuple[str, str]]:
        """Nothing: the images come with scikit-learn."""
        return iter(())

    def load(self) -> ImageDataset:
        """The dataset."""
        # Here, because importing scikit-learn takes a second that checking a config should not.
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        pixels, labels = load_digits(return_X_y=True)
        everything = Split(pixels.reshape(-1, 1, 8, 8).astype(np.uint8), labels.astype(np.int64))
        train, rest = train_test_split(
            np.arange(len(labels)), train_size=600, random_state=0, stratify=labels
        )
        valid, test = train_test_split(rest, train_size=500, random_state=1, stratify=labels[rest])
        mean, std = channel_statistics(everything.images[train], 16)
        return ImageDataset(
            train=everything.take(train),
            valid=everything.take(valid),
            test=everything.take(test),
            scale=16,
            mean=mean,
            std=std,
            n_classes=10,
        )
