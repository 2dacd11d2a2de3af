"""CIFAR-100 (Krizhevsky 2009): 60,000 images of 32x32 in a hundred classes, from its python-version files.

Departure: NAS-Bench-201 also validates and tests on halves of the official test images, but which image is in
which half stands in a file of its own that follows no rule; the halves here are others, of the same size and
class shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raynas.data import partition
from raynas.data.image_files import folder, missing, read_batch, require_labels
from raynas.data.images import Augmentation, ImageDataset

FOLDER = "cifar-100-python"
N_TRAIN = 50_000
N_TEST = 10_000
_MEAN = (129.3 / 255, 124.1 / 255, 112.4 / 255)  # AutoDL's figures
_STD = (68.2 / 255, 65.4 / 255, 70.4 / 255)


@dataclass(frozen=True)
class Cifar100:
    """The official 50,000 images to train on; 5,000 of the test images to validate and 5,000 to test.

    Attributes:
        root: Folder that holds ``cifar-100-python/``; None for RAYNAS_DATA, or ``data``.
    """

    root: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Missing files."""
        source = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
        return missing(self.root, (f"{FOLDER}/train", f"{FOLDER}/test"), source)

    def load(self) -> ImageDataset:
        """The dataset.

        Raises:
            InputError: A file is missing, truncated or not what it should be.
        """
        place = folder(self.root) / FOLDER
        train, held_out = (
            require_labels(
                place / name,
                read_batch(place / name, label_key="fine_labels", side=32, n_images=n_images),
                100,
            )
            for name, n_images in (("train", N_TRAIN), ("test", N_TEST))
        )
        valid, test = partition.stratified_halves(held_out.labels)
        return ImageDataset(
            train=train,
            valid=held_out.take(valid),
            test=held_out.take(test),
            scale=255,
            mean=_MEAN,
            std=_STD,
            n_classes=100,
            augmentation=Augmentation(flip=True, crop_pad=4),
        )
