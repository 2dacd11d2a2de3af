"""Whole-space tables of a space small enough to enumerate, without a Python loop over its architectures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.spaces.ball import spheres
from raynas.spaces.site import Site

MOST_ARCHITECTURES = 10_000_000
MOST_ENTRIES = 500_000_000  # 2 GB of int32


def ops_table(sites: Sequence[Site]) -> npt.NDArray[np.int8]:
    """``(size, n_edges)`` ``Architecture.ops`` of every architecture, by index.

    Raises:
        InputError: More than ``MOST_ARCHITECTURES``.
    """
    columns = [
        np.array(site.choices, dtype=np.int8)[digit]
        for site, digit in zip(sites, _digits(sites, of_what="operations"), strict=True)
    ]
    return np.concatenate(columns, axis=1)


def neighbor_indices(sites: Sequence[Site], radius: int) -> npt.NDArray[np.int32]:
    """``(size, count)`` indices of the architectures at exactly a distance from each, ascending in a row.

    Raises:
        InputError: The table would be too large, or the architectures have different numbers of neighbours.
    """
    digits = _digits(sites, of_what="neighbours")
    size = math.prod(site.size for site in sites)
    if any(len(set(site.counts)) > 1 for site in sites):
        raise InputError(
            "the architectures of this space have different numbers of neighbours, so they fill no table; "
            "use neighbors(architecture, radius)"
        )
    n_entries = size * spheres(tuple(site.counts[0] for site in sites)).size(radius)
    if n_entries > MOST_ENTRIES:
        raise InputError(
            f"all neighbours at radius {radius} are {n_entries:,}; a table is made for up to "
            f"{MOST_ENTRIES:,}, so use a smaller radius"
        )
    weights = [math.prod(site.size for site in sites[position + 1 :]) for position in range(len(sites))]

    def walk(position: int, left: int, indices: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int32]]:
        if left == 0:
            yield indices
            return
        if left > sum(len(site.counts[0]) - 1 for site in sites[position:]):
            return
        site, digit = sites[position], digits[position]
        for distance, count in enumerate(site.counts[0][: left + 1]):
            if distance == 0:
                yield from walk(position + 1, left, indices)
            elif count:
                shells = np.nonzero(site.distances == distance)[1].reshape(site.size, count)
                moves = ((shells - np.arange(site.size)[:, None]) * weights[position]).astype(np.int32)[digit]
                moved = (indices[:, :, None] + moves[:, None, :]).reshape(size, -1)
                yield from walk(position + 1, left - distance, moved)

    blocks = list(walk(0, radius, np.arange(size, dtype=np.int32)[:, None]))
    if not blocks:
        return np.empty((size, 0), dtype=np.int32)
    table = np.concatenate(blocks, axis=1)
    table.sort(axis=1)
    return table


def _digits(sites: Sequence[Site], *, of_what: str) -> list[npt.NDArray[np.intp]]:
    size = math.prod(site.size for site in sites)
    if size > MOST_ARCHITECTURES:
        raise InputError(
            f"the space has {size:,} architectures; a table of all {of_what} is made for up to "
            f"{MOST_ARCHITECTURES:,}"
        )
    return list(np.unravel_index(np.arange(size), [site.size for site in sites]))
