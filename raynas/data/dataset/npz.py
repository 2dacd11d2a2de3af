"""A dataset of the user's own: six NumPy arrays in one ``.npz`` file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raynas.data.images import Augmentation, ImageDataset, Split, channel_statistics, describe
from raynas.errors import InputError

_SPLITS = ("train", "valid", "test")
_KEYS = tuple(f"{split}_{part}" for split in _SPLITS for part in ("images", "labels"))


@dataclass(frozen=True)
class Npz:
    """Reads ``train_images``, ``train_labels``, and the same of ``valid`` and ``test``.

    Images are uint8, ``(n, C, H, W)``, or ``(n, H, W, C)`` where the last axis is 1 or 3 and the second is
    not. Labels are integers from 0; the training labels say how many classes there are. Mean and standard
    deviation are those of the training pixels.

    Attributes:
        path: The file.
        scale: The largest pixel value.
        flip: Whether training images may be mirrored.
        crop_pad: Pixels of zeros around a training image before it is cropped at random to its old size.
    """

    path: str
    scale: int = 255
    flip: bool = False
    crop_pad: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 255:
            raise ValueError(f"scale: {self.scale}; due is the largest pixel value, 1 to 255")
        Augmentation(flip=self.flip, crop_pad=self.crop_pad)

    def problems(self) -> Iterator[tuple[str, str]]:
        """A missing file."""
        if not Path(self.path).expanduser().is_file():
            yield "path", f"{self.path}: no such file; give an .npz file with {', '.join(_KEYS)}"

    def load(self) -> ImageDataset:
        """The dataset.

        Raises:
            InputError: All that is wrong with the file, a line each.
        """
        arrays = self._arrays()
        n_classes = _n_classes(arrays["train_labels"])
        images = {split: _channels_first(arrays[f"{split}_images"]) for split in _SPLITS}
        wrong: list[str] = []
        for split in _SPLITS:
            wrong += _wrong_images(split, images[split], like=images["train"], scale=self.scale)
            wrong += _wrong_labels(split, arrays[f"{split}_labels"], len(images[split]), n_classes)
        if wrong:
            raise InputError("\n".join(f"{self.path}: {message}" for message in wrong))
        train, valid, test = (
            Split(np.ascontiguousarray(images[split]), arrays[f"{split}_labels"].astype(np.int64))
            for split in _SPLITS
        )
        mean, std = channel_statistics(train.images, self.scale)
        augmentation = Augmentation(flip=self.flip, crop_pad=self.crop_pad)
        return ImageDataset(
            train=train,
            valid=valid,
            test=test,
            scale=self.scale,
            mean=mean,
            std=std,
            n_classes=n_classes,
            augmentation=augmentation,
        )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        due = f"due is an .npz file with {', '.join(_KEYS)}"
        try:
            content = np.load(Path(self.path).expanduser(), allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise InputError(f"{self.path}: holds a single array; {due}")
            with content:
                if absent := [key for key in _KEYS if key not in content.files]:
                    has = ", ".join(content.files) or "nothing"
                    raise InputError(f"{self.path}: lacks {', '.join(absent)}; it holds {has}; {due}")
                return {key: content[key] for key in _KEYS}
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}; {due}") from error
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: damaged or no array file ({error}); {due}") from error


def _channels_first(images: NDArray[Any]) -> NDArray[Any]:
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        return images.transpose(0, 3, 1, 2)
    return images


def _n_classes(labels: NDArray[Any]) -> int:
    usable = labels.size and np.issubdtype(labels.dtype, np.integer)
    return int(labels.max()) + 1 if usable else 0


def _wrong_images(split: str, images: NDArray[Any], *, like: NDArray[Any], scale: int) -> Iterator[str]:
    if images.dtype != np.uint8 or images.ndim != 4:
        yield f"{split}_images: {describe(images)}; due are uint8 images (n, C, H, W) or (n, H, W, C)"
    elif not images.size:
        yield f"{split}_images: {describe(images)} holds no image"
    elif images.shape[1:] != like.shape[1:]:
        yield f"{split}_images: images (C, H, W) of {images.shape[1:]} where train has {like.shape[1:]}"
    elif images.max() > scale:
        yield f"{split}_images: pixels up to {images.max()} where scale is {scale}"


def _wrong_labels(split: str, labels: NDArray[Any], n_images: int, n_classes: int) -> Iterator[str]:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        yield f"{split}_labels: {describe(labels)}; due are integers (n,)"
    elif len(labels) != n_images:
        yield f"{split}_labels: {len(labels)} labels for {n_images} images"
    elif labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        yield (
            f"{split}_labels: labels from {labels.min()} to {labels.max()}; "
            f"due is 0 to {n_classes - 1}, the highest of the training labels"
        )
