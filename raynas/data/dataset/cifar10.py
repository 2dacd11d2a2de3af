"""CIFAR-10 (Krizhevsky 2009): 60,000 images of 32x32 in ten classes, from its python-version files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from raynas.data import partition
from raynas.data.image_files import folder, joined, missing, read_batch, require_labels
from raynas.data.images import Augmentation, ImageDataset

FOLDER = "cifar-10-batches-py"
N_IMAGES_PER_FILE = 10_000
_FILES = tuple(f"{FOLDER}/{name}" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"))
# AutoDL's figures, which NAS-Bench-201 was made with; the DARTS family's differ in the third digit.
_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)

TrainValidSplit = Literal["nas_bench_201", "halves"]


@dataclass(frozen=True)
class Cifar10:
    """25,000 images to train on, 25,000 to validate, the official 10,000 to test.

    Attributes:
        root: Folder that holds ``cifar-10-batches-py/``; None for RAYNAS_DATA, or ``data``.
        split: ``nas_bench_201``, the random halves of that benchmark (its CIFAR-10-valid), or ``halves``, the
            first and the last 25,000 in file order, as in DARTS and its descendants.
    """

    root: str | None = None
    split: TrainValidSplit = "nas_bench_201"

    def __post_init__(self) -> None:
        if self.split not in get_args(TrainValidSplit):
            raise ValueError(f"split: '{self.split}'; due is one of {', '.join(get_args(TrainValidSplit))}")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Missing files."""
        return missing(self.root, _FILES, "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz")

    def load(self) -> ImageDataset:
        """The dataset.

        Raises:
            InputError: A file is missing, truncated or not what it should be.
        """
        batches = []
        for name in _FILES:
            path = folder(self.root) / name
            batch = read_batch(path, label_key="labels", side=32, n_images=N_IMAGES_PER_FILE)
            batches.append(require_labels(path, batch, 10))
        official_train = joined(batches[:-1])
        halve = partition.nas_bench_201 if self.split == "nas_bench_201" else partition.first_and_last
        train, valid = halve(len(official_train))
        return ImageDataset(
            train=official_train.take(train),
            valid=official_train.take(valid),
            test=batches[-1],
            scale=255,
            mean=_MEAN,
            std=_STD,
            n_classes=10,
            augmentation=Augmentation(flip=True, crop_pad=4),
        )
