"""Architectures as arrays: which operation each edge has, as indices and as one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raynas.spaces import Architecture, SearchSpace


def operations_of(space: SearchSpace, architectures: Sequence[Architecture]) -> npt.NDArray[np.intp]:
    """``(n, n_edges)`` ``Architecture.ops`` of architectures, all of them checked.

    Raises:
        InputError: One of them is not of the space.
    """
    for architecture in architectures:
        space.index(architecture)
    return np.array([architecture.ops for architecture in architectures], dtype=np.intp)


def one_hot(space: SearchSpace, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
    """One-hot vectors of architectures, edge by edge.

    A column for each edge and operation that an architecture may have there: 6 x 5 in NAS-Bench-201, 28 x 7
    in DARTS, where an edge not used has zeros. By edges, not by sites: a DARTS node is one site of up to 490
    choices, and one-hot choices would share nothing even where they share an input.

    Returns:
        ``(n, n_columns)``.

    Raises:
        InputError: One of the architectures is not of the space.
    """
    ops = operations_of(space, architectures)
    edges = [column for column, edge in enumerate(space.edges) for _ in edge.selectable]
    operations = [op for edge in space.edges for op in edge.selectable]
    return np.equal(ops[:, edges], operations).astype(np.float32)
