"""The cells of a DARTS network (Liu et al., ICLR 2019) in numbers, which loads no torch.

Layers are numbered from 0. The cells of layers ``floor(L / 3)`` and ``floor(2 L / 3)`` are reductions, which
halve the image and double the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from raynas.errors import InputError
from raynas.spaces import SearchSpace

StemName: TypeAlias = Literal["cifar", "imagenet"]

N_INPUTS = 2
"""Nodes of a cell that are given: the outputs of the two cells before."""

STEM_MULTIPLIER = 3
"""Channels that the stem of CIFAR gives, over those of a node."""

_LEAST_LAYERS = 3


@dataclass(frozen=True)
class CellShape:
    """Where a cell stands.

    Attributes:
        kind: ``normal`` or ``reduce``.
        channels: Channels of every node.
        in_channels: Channels of the outputs of the cell before the last and of the last.
        first_is_larger: Whether the first of these has twice the side of the second.
    """

    kind: str
    channels: int
    in_channels: tuple[int, int]
    first_is_larger: bool

    @property
    def stride(self) -> int:
        """Of the edges that leave the cell's inputs."""
        return 2 if self.kind == "reduce" else 1


def require_layers(layers: int) -> None:
    """Refuses a number of cells among which one of the two kinds is missing.

    Raises:
        ValueError: It is such a number.
    """
    if layers < _LEAST_LAYERS:
        raise ValueError(
            f"layers: {layers} is below {_LEAST_LAYERS}, so that no cell is a normal one; give "
            f"{_LEAST_LAYERS} or more"
        )


def cell_shapes(*, channels: int, layers: int, n_nodes: int, stem: StemName) -> list[CellShape]:
    """The cells of a network, layer by layer.

    Args:
        channels: Channels of a node before the first reduction.
        layers: How many cells.
        n_nodes: Intermediate nodes of a cell, which its output lines up.
        stem: What stands before the first.

    Raises:
        ValueError: Too few layers.
    """
    require_layers(layers)
    first = second = STEM_MULTIPLIER * channels if stem == "cifar" else channels
    first_is_larger = stem == "imagenet"
    shapes = []
    for layer in range(layers):
        reduces = layer in (layers // 3, 2 * layers // 3)
        if reduces:
            channels *= 2
        shapes.append(
            CellShape("reduce" if reduces else "normal", channels, (first, second), first_is_larger)
        )
        first, second, first_is_larger = second, n_nodes * channels, reduces
    return shapes


def auxiliary_layer(layers: int) -> int:
    """The layer whose output the auxiliary tower reads."""
    return 2 * layers // 3


def intermediate_nodes(space: SearchSpace) -> int:
    """Intermediate nodes of the cells of a search space.

    Raises:
        InputError: Its cells are not like those of DARTS.
    """
    targets = range(N_INPUTS, 1 + max(edge.target for edge in space.edges))
    due = [(cell, n, source) for cell in ("normal", "reduce") for n in targets for source in range(n)]
    if not due or [(edge.cell, edge.target, edge.source) for edge in space.edges] != due:
        raise InputError(
            f"search space {space.name}: due are cells like those of DARTS, normal and reduce, whose nodes 0 "
            "and 1 are inputs and whose others have an edge from every node before; choose such a search "
            "space or another workload"
        )
    return len(targets)
