"""Fixed partitions of a dataset's images into splits, the same on every machine and in every version."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from raynas import seeding

Indices = NDArray[np.int64]


def first_and_last(n_images: int) -> tuple[Indices, Indices]:
    """First and second half in file order, as DARTS and its descendants split CIFAR-10."""
    return np.arange(n_images // 2), np.arange(n_images // 2, n_images)


def nas_bench_201(n_images: int) -> tuple[Indices, Indices]:
    """The halves of CIFAR-10's training images in NAS-Bench-201 (AutoDL), which calls them CIFAR-10-valid."""
    shuffled = list(range(n_images))
    random.Random(1021).shuffle(shuffled)  # noqa: S311 - AutoDL's own draw, nothing secret
    train, valid = shuffled[: n_images // 2], shuffled[n_images // 2 :]
    return np.array(sorted(train)), np.array(sorted(valid))


def stratified_halves(labels: NDArray[np.int64]) -> tuple[Indices, Indices]:
    """Two halves with the same number of images of every class, each in file order.

    The images of a class are ordered by a hash of their place, so the halves hang on no library's generator.

    Args:
        labels: ``(n,)``.

    Returns:
        Indices of the two halves; of a class with an odd number of images the first half has one less.
    """
    hashes = np.array([seeding.derive(0, "stratified_halves", index) for index in range(len(labels))])
    first = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        first[members[np.argsort(hashes[members])][: len(members) // 2]] = True
    return np.flatnonzero(first), np.flatnonzero(~first)
