"""Cells as graphs whose nodes are operations (the form of arch2vec; Yan et al., NeurIPS 2020).

The nodes of a cell's graph, in order: the cell's inputs, one node for each edge of the cell that the
architecture uses, in the order of ``SearchSpace.edges``, and the output. An operation is linked to the
operations, or the input, whose sum it reads. A node's features are one-hot: which input it is, which
operation of the space, or the output. So a NAS-Bench-201 cell has 8 nodes of 7 features, with the same links
whatever its operations; a DARTS cell has 11 nodes of 11 features, and rewiring an input moves links.

Links are read both ways. The output reads the last node in NAS-Bench-201, and in the DARTS family the
operations of all intermediate nodes, which the cell concatenates. An architecture of two cells is a graph of
two components, kept apart here as two graphs so that a scorer can tell the normal cell from the reduction
cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.predictors.ranking.operations import operations_of
from raynas.spaces import ABSENT, Architecture, SearchSpace

_OUTPUT_READS_LAST_NODE = {"nas_bench_201": True, "darts": False}


@dataclass(frozen=True, eq=False)
class CellGraphs:
    """Graphs of architectures, dense and of equal size.

    Attributes:
        features: ``(n, n_cells, n_nodes, n_features)`` one-hot.
        adjacency: ``(n, n_cells, n_nodes, n_nodes)`` 1 where two nodes are linked; symmetric, with zeros on
            the diagonal.
    """

    features: npt.NDArray[np.float32]
    adjacency: npt.NDArray[np.float32]


def cell_graphs(space: SearchSpace, architectures: Sequence[Architecture]) -> CellGraphs:
    """Graphs of architectures.

    Args:
        space: Their search space.
        architectures: One or more.

    Raises:
        InputError: One of them is not of the space, or the space is of a kind whose graphs are not known.
    """
    if space.kind not in _OUTPUT_READS_LAST_NODE:
        raise InputError(
            f"no graph is known for a {space.kind} space, only for {', '.join(_OUTPUT_READS_LAST_NODE)}; use "
            "encoder: mlp"
        )
    ops = operations_of(space, architectures)
    names = list(dict.fromkeys(edge.cell for edge in space.edges))
    cells = [_cell(space, ops, name) for name in names]
    return CellGraphs(
        np.stack([features for features, _ in cells], axis=1),
        np.stack([adjacency for _, adjacency in cells], axis=1),
    )


def _cell(
    space: SearchSpace, ops: npt.NDArray[np.intp], cell: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Features and adjacency of one cell of every architecture."""
    columns = np.array([column for column, edge in enumerate(space.edges) if edge.cell == cell])
    sources = np.array([space.edges[column].source for column in columns])
    targets = np.array([space.edges[column].target for column in columns])
    n_inputs, last = int(targets.min()), int(targets.max())

    of_cell = ops[:, columns]
    used = np.nonzero(of_cell != ABSENT)[1].reshape(len(ops), -1)  # every architecture uses as many edges
    n_ops = used.shape[1]
    output = n_inputs + n_ops

    kinds = np.empty((len(ops), output + 1), dtype=np.intp)
    kinds[:, :n_inputs] = np.arange(n_inputs)
    kinds[:, n_inputs:output] = n_inputs + np.take_along_axis(of_cell, used, axis=1)
    kinds[:, output] = n_inputs + len(space.operations)
    features = np.eye(n_inputs + len(space.operations) + 1, dtype=np.float32)[kinds]

    # Of every node of the graph, the node of the cell that it reads and the node of the cell that it adds to;
    # inputs read nothing, and nothing reads the output.
    reads = np.full(kinds.shape, -1)
    writes = np.full(kinds.shape, -2)
    reads[:, n_inputs:output] = sources[used]
    writes[:, :n_inputs] = np.arange(n_inputs)
    writes[:, n_inputs:output] = targets[used]
    linked = reads[:, :, np.newaxis] == writes[:, np.newaxis, :]
    if _OUTPUT_READS_LAST_NODE[space.kind]:
        linked[:, output] = writes == last
    else:
        linked[:, output, n_inputs:output] = True
    return features, (linked | linked.swapaxes(1, 2)).astype(np.float32)
