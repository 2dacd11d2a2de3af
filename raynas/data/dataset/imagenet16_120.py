"""ImageNet16-120 (Dong and Yang, ICLR 2020): the first 120 classes of ImageNet downsampled to 16x16.

The files are those of downsampled ImageNet (Chrabaszcz et al. 2017) with all 1,000 classes, as NAS-Bench-201
distributes them. Departure: NAS-Bench-201's own halves of the validation images follow no rule; the halves
here are others, of the same size and class shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raynas.data import partition
from raynas.data.image_files import folder, joined, missing, read_batch
from raynas.data.images import Augmentation, ImageDataset, Split
from raynas.errors import InputError

FOLDER = "ImageNet16"
N_CLASSES = 120
N_TRAIN = 151_700
N_HELD_OUT = 6_000
_TRAIN_FILES = tuple(f"{FOLDER}/train_data_batch_{i}" for i in range(1, 11))
_HELD_OUT_FILE = f"{FOLDER}/val_data"
_MEAN = (122.68 / 255, 116.66 / 255, 104.01 / 255)
_STD = (63.22 / 255, 61.26 / 255, 65.09 / 255)


@dataclass(frozen=True)
class ImageNet16120:
    """151,700 images to train on; 3,000 of ImageNet's validation images to validate and 3,000 to test.

    Attributes:
        root: Folder that holds ``ImageNet16/``; None for RAYNAS_DATA, or ``data``.
    """

    root: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Missing files."""
        return missing(self.root, (*_TRAIN_FILES, _HELD_OUT_FILE), "NAS-Bench-201's ImageNet16.tar")

    def load(self) -> ImageDataset:
        """The dataset.

        Raises:
            InputError: A file is missing, truncated or not what it should be.
        """
        place = folder(self.root)
        train = joined([_first_classes(place / name) for name in _TRAIN_FILES])
        held_out = _first_classes(place / _HELD_OUT_FILE)
        for files, split, due in (("train_data_batch_*", train, N_TRAIN), ("val_data", held_out, N_HELD_OUT)):
            if len(split) != due:
                raise InputError(
                    f"{place / FOLDER / files}: {len(split):,} images of the first {N_CLASSES} classes; "
                    f"due are {due:,}; fetch the original again"
                )
        valid, test = partition.stratified_halves(held_out.labels)
        return ImageDataset(
            train=train,
            valid=held_out.take(valid),
            test=held_out.take(test),
            scale=255,
            mean=_MEAN,
            std=_STD,
            n_classes=N_CLASSES,
            augmentation=Augmentation(flip=True, crop_pad=2),
        )


def _first_classes(path: Path) -> Split:
    """The file's images with labels 1 to 120 of 1,000, labelled 0 to 119; copied, to free the others."""
    batch = read_batch(path, label_key="labels", side=16, n_images=None)
    if len(batch) and not 1 <= batch.labels.min() <= batch.labels.max() <= 1000:
        raise InputError(
            f"{path}: labels from {batch.labels.min()} to {batch.labels.max()}; due is 1 to 1000; "
            "fetch the original again"
        )
    kept = batch.labels <= N_CLASSES
    return Split(batch.images[kept], batch.labels[kept] - 1)
