"""The mixing weights of a supernet as a value: what ``supernet(images, mixing)`` weighs operations by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.spaces import Architecture
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixed_edge import EdgeMixing

Theta: TypeAlias = Mapping[str, Tensor]
"""For each kind of cell ``(edges, columns)`` weights, or ``(cells, edges, columns)``, each cell its own."""


@dataclass(frozen=True, eq=False)
class Mixing:
    """What each operation and each edge of a supernet counts.

    Attributes:
        weights: For each kind of cell ``(edges, columns)``, or ``(cells, edges, columns)`` for cells that
            differ.
        alive: For each kind of cell ``(edges, columns)`` or, for cells that differ, ``(cells, edges,
            columns)``: operations that are computed; the weights of all others are taken for zero.
        edge_weights: For each kind of cell ``(edges,)``, by which the edges' outputs are multiplied before
            a node sums them; empty for 1 (partial channels; Xu et al., ICLR 2020).
        progress: Share of the search that is over, in [0, 1]; for what fades in or out.
        dead_as_numbers: Whether an operation that is not alive adds its weight to its edge's output, as a
            number: in GDAS (Dong and Yang, CVPR 2019) these are zeros that carry a gradient.
    """

    weights: Theta
    alive: Alive
    edge_weights: Mapping[str, Tensor] = field(default_factory=dict)
    progress: float = 0.0
    dead_as_numbers: bool = False


def of_architecture(layout: Layout, architecture: Architecture, *, device: str = "cpu") -> Mixing:
    """The mixing that makes a supernet a discrete architecture: weight 1 for its operations alone.

    Args:
        layout: Of the supernet's space.
        architecture: One of it.
        device: Where the weights are to lie.
    """
    alive = layout.alive_of(architecture)
    weights = {
        kind: torch.tensor(rows, dtype=torch.get_default_dtype(), device=device)
        for kind, rows in alive.items()
    }
    return Mixing(weights, alive)


def edge_mixings(mixing: Mixing, kind: str, n_cells: int) -> list[list[EdgeMixing]]:
    """What each edge of each cell of a kind is given.

    Returns:
        For each of ``n_cells`` cells a list with one entry an edge.
    """
    weights, alive = mixing.weights[kind], mixing.alive[kind]
    if weights.dim() == 2:
        return [_of_cell(mixing, weights, alive)] * n_cells
    if len(weights) != n_cells:
        raise ValueError(f"mixing weights for {len(weights)} cells of kind '{kind}'; due are {n_cells}")
    each = alive if alive.ndim == 3 else [alive] * n_cells
    return [_of_cell(mixing, *one) for one in zip(weights.unbind(), each, strict=True)]


def _of_cell(mixing: Mixing, weights: Tensor, alive: NDArray[np.bool_]) -> list[EdgeMixing]:
    # unbound once, so that cells which share the weights share the numbers, and their gradients meet there
    numbers = [row.unbind() for row in weights.unbind()]
    return [
        EdgeMixing(row, counts, mixing.progress, mixing.dead_as_numbers)
        for row, counts in zip(numbers, alive.tolist(), strict=True)
    ]
