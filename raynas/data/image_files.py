"""Where dataset files lie, and how the original files of CIFAR and downsampled ImageNet are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from raynas.data import plain_pickle
from raynas.data.images import Split, describe
from raynas.errors import InputError

ROOT_VARIABLE = "RAYNAS_DATA"


def folder(root: str | None) -> Path:
    """The folder of dataset files.

    Args:
        root: A path; None for the environment variable RAYNAS_DATA, or ``data`` where that is not set. It is
            looked up on the machine that reads, so the machines of a cluster may differ in it.
    """
    return Path(root if root is not None else os.environ.get(ROOT_VARIABLE, "data")).expanduser()


def missing(root: str | None, files: Sequence[str], source: str) -> Iterator[tuple[str, str]]:
    """The problem of files that are not there, as ``DatasetSpec.problems`` gives it; at most one.

    Args:
        root: See ``folder``.
        files: Paths relative to the root.
        source: What to fetch to have them.
    """
    place = folder(root)
    if absent := [name for name in files if not (place / name).is_file()]:
        others = f" and {len(absent) - 1} other files" if len(absent) > 1 else ""
        remedy = f"unpack {source} in {place}, or set root or the environment variable {ROOT_VARIABLE}"
        yield "root", f"{place / absent[0]}{others}: no such file; {remedy}"


def read_batch(path: Path, *, label_key: str, side: int, n_images: int | None) -> Split:
    """One file of a CIFAR-like dataset: a pickled dict of rows of pixels and their labels.

    Args:
        path: The file.
        label_key: The dict's key of the labels.
        side: Height and width; a row holds ``3 * side * side`` values, channel by channel.
        n_images: How many images the file must hold; None for any number.

    Returns:
        ``(n, 3, side, side)`` images and their labels as the file gives them.

    Raises:
        InputError: The file is missing, truncated or another; the message says what came and what was due.
    """
    content = plain_pickle.read(path)
    due = f"{'' if n_images is None else f'{n_images:,} '}rows of {3 * side * side} uint8 values"
    again = "fetch the original again"
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; due is a dict with {due}; {again}")
    named = {
        key.decode("ascii", "replace") if isinstance(key, bytes) else key: content[key] for key in content
    }
    if absent := {"data", label_key} - named.keys():
        raise InputError(
            f"{path}: lacks {' and '.join(sorted(absent))}, it has {', '.join(map(str, named))}; {again}"
        )
    pixels, labels = np.asarray(named["data"]), np.asarray(named[label_key])
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3 * side * side:
        raise InputError(f"{path}: data is {describe(pixels)}; due are {due}; {again}")
    if n_images is not None and len(pixels) != n_images:
        raise InputError(f"{path}: holds {len(pixels):,} images; due are {n_images:,}; {again}")
    if labels.shape != (len(pixels),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path}: {label_key} is {describe(labels)} for {len(pixels):,} images; {again}")
    return Split(pixels.reshape(-1, 3, side, side), labels.astype(np.int64))


def joined(splits: Sequence[Split]) -> Split:
    """Splits one after the other."""
    return Split(np.concatenate([s.images for s in splits]), np.concatenate([s.labels for s in splits]))


def require_labels(path: Path, split: Split, n_classes: int) -> Split:
    """The split itself, if its labels run from 0 to ``n_classes - 1``.

    Raises:
        InputError: They do not.
    """
    if len(split) and not 0 <= split.labels.min() <= split.labels.max() < n_classes:
        raise InputError(
            f"{path}: labels from {split.labels.min()} to {split.labels.max()}; due is 0 to {n_classes - 1}; "
            "fetch the original again"
        )
    return split
