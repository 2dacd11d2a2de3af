"""Single paths through a supernet: one operation on an edge, drawn at random to train on (SPOS; Guo et al.,
ECCV 2020), or an architecture's.

In NAS-Bench-201 each node draws the operations of its inputs uniformly, ``none`` among them, until one of
them is not ``none``, and each cell does so for itself (RLNAS's code): 4 * 24 * 124 = 11,904 draws a cell. In
DARTS one normal and one reduction cell stand in all their places. RLNAS draws 28 operations there and repairs
nodes that have not two inputs; what comes out is uniform over pairs of inputs and their operations, and so
over the space, from which we draw.

Operations whose output does not reach the network's are left out of a path, and so are those that are fed
zeros only, whose batch norms make zeros of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from raynas.errors import InputError
from raynas.oneshot.vectors import edge_uses
from raynas.spaces import Architecture
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixing import Mixing

_NONE = "none"
_KINDS = {"nas_bench_201", "darts"}


class PathSampler:
    """Draws paths through a supernet.

    Args:
        layout: Of the supernet.
        n_cells: For each kind of cell, how many there are.
        share_across_cells: Whether cells of a kind are the same, where the space could have it otherwise.
        device: Where the mixing weights are to lie.

    Raises:
        InputError: A node of a cell has no operation but ``none``.
    """

    def __init__(
        self,
        layout: Layout,
        n_cells: Mapping[str, int],
        *,
        share_across_cells: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        self._layout, self._device = layout, device
        self._by_node = layout.space.kind == "nas_bench_201"
        self._n_cells = dict(n_cells) if self._by_node and not share_across_cells else None
        if self._by_node:
            for kind in layout.kinds:
                _require_operations(layout, kind)

    def draw(self, rng: np.random.Generator) -> Mixing:
        """A path, with weight 1 for its operations."""
        alive = self._drawn(rng) if self._by_node else self._layout.alive_of(self._layout.space.sample(rng))
        return _mixing(living(self._layout, alive), self._device)

    def _drawn(self, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
        drawn = {}
        for kind in self._layout.kinds:
            cells = node_draws(self._layout, kind, 1 if self._n_cells is None else self._n_cells[kind], rng)
            drawn[kind] = cells[0] if self._n_cells is None else cells
        return drawn


def path_of(layout: Layout, architecture: Architecture, *, device: str | torch.device = "cpu") -> Mixing:
    """The path of an architecture.

    Args:
        layout: Of the supernet's space.
        architecture: One of it.
        device: Where the mixing weights are to lie.
    """
    return _mixing(living(layout, layout.alive_of(architecture)), device)


def node_draws(layout: Layout, kind: str, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """``(n, edges, columns)`` cells, each node with an input that is not ``none``, uniform over all such.

    Args:
        layout: Of the supernet.
        kind: Which cell.
        n: How many.
        rng: Where the randomness comes from.
    """
    edges = layout.edges[kind]
    columns = np.zeros((n, len(edges)), dtype=np.int64)
    none_at = [_none_column(layout, kind, row) for row in range(len(edges))]
    for target in sorted({edge.target for edge in edges}):
        rows = [row for row, edge in enumerate(edges) if edge.target == target]
        highs = [len(edges[row].operations) for row in rows]
        empty = np.ones(n, dtype=bool)
        while empty.any():
            drawn = rng.integers(highs, size=(int(empty.sum()), len(rows)))
            columns[np.flatnonzero(empty)[:, None], rows] = drawn
            empty = (columns[:, rows] == [none_at[row] for row in rows]).all(axis=1)
    found: NDArray[np.bool_] = columns[:, :, None] == np.arange(layout.n_columns)
    return found


def living(layout: Layout, alive: Alive) -> dict[str, NDArray[np.bool_]]:
    """What is left of paths without the edges that lie on no way from a cell's input to its output.

    Args:
        layout: Of the supernet.
        alive: For each kind of cell ``(edges, columns)`` or ``(cells, edges, columns)``, one operation a row
            at most. In spaces of other kinds than NAS-Bench-201's and DARTS's nothing is left out.
    """
    if layout.space.kind not in _KINDS:
        return dict(alive)
    return {
        kind: rows & _on_ways(layout, kind, rows)[..., None]
        if rows.ndim == 2
        # cells that draw alike are looked at once
        else np.stack([cell & _on_ways(layout, kind, cell)[:, None] for cell in rows])
        for kind, rows in alive.items()
    }


def _on_ways(layout: Layout, kind: str, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edges = layout.edges[kind]
    carries = [
        bool(row.any()) and not ((none := _none_column(layout, kind, at)) >= 0 and row[none])
        for at, row in enumerate(alive)
    ]
    uses = edge_uses(
        edges,
        carries,
        n_inputs=min(edge.target for edge in edges),
        every_node_ends=layout.space.kind == "darts",
    )
    return np.array(uses) > 0


def _none_column(layout: Layout, kind: str, row: int) -> int:
    """Column of ``none``; -1 where an edge has no such."""
    names = layout.names(kind, row)
    return names.index(_NONE) if _NONE in names else -1


def _require_operations(layout: Layout, kind: str) -> None:
    edges = layout.edges[kind]
    for target in {edge.target for edge in edges}:
        rows = [row for row, edge in enumerate(edges) if edge.target == target]
        if all(set(layout.names(kind, row)) <= {_NONE} for row in rows):
            raise InputError(
                f"search space {layout.space.name}: node {target} has no operation but none, so that no path "
                "leads to it; give one of its edges another"
            )


def _mixing(alive: Mapping[str, NDArray[np.bool_]], device: str | torch.device) -> Mixing:
    weights = {kind: torch.as_tensor(rows, dtype=torch.float32).to(device) for kind, rows in alive.items()}
    return Mixing(weights, alive)
