"""Discrete networks of NAS-Bench-201 (Dong and Yang, ICLR 2020, Fig. 1).

Departure: the residual blocks' average pool rounds odd image sizes up, as their strided convolution does, so
that images of any size pass; at the benchmark's sizes nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raynas.errors import InputError
from raynas.spaces import Architecture, SearchSpace, get_space
from raynas.supernets.initialization import materialize
from raynas.supernets.nodes import node_values
from raynas.supernets.operations import ReLUConvBN, Zero, operation


class NasBench201Network(nn.Module):
    """Stem; stages of equal cells, with a residual block between two that halves the image; head.

    Each stage has twice the channels of the one before.

    Args:
        architecture: The cell: one operation for each pair of nodes, of a space with NAS-Bench-201's
            operations.
        channels: Channels of the first stage.
        cells: Cells a stage.
        stages: Stages; the benchmark's network has 3.
        in_channels: Channels of the images.
        n_classes: Number of logits.
        generator: A CPU generator, which the weights are drawn from; the global random state is not touched.

    Raises:
        InputError: The architecture is not one of a NAS-Bench-201-like cell.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        channels: int = 16,
        cells: int = 5,
        stages: int = 3,
        in_channels: int = 3,
        n_classes: int = 10,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        names = _operation_names(architecture)
        with torch.device("meta"):
            self.stem = stem(in_channels, channels)
            body: list[nn.Module] = []
            for stage in range(stages):
                width = channels * 2**stage
                if stage:
                    body.append(ReductionBlock(width // 2, width))
                body += [Cell(names, width) for _ in range(cells)]
            self.body = nn.Sequential(*body)
            self.head = head(width, n_classes)
        materialize(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """``(n, in_channels, H, W)`` images to ``(n, n_classes)`` logits."""
        logits: Tensor = self.head(self.body(self.stem(images)))
        return logits


class Cell(nn.Module):
    """Nodes 0 (the input) to the last (the output); each sums its edges' operations on the nodes before it.

    Edges of ``none`` are left out of the sums, and a node without an edge is zeros. All other edges are
    computed, those that the output does not hang on too, as in the benchmark.

    Args:
        operations: An operation's name for each edge, ordered by target node, then by source node.
        channels: Channels of every node.
        affine: Whether batch norms have weights.
    """

    def __init__(self, operations: Sequence[str], channels: int, *, affine: bool = True) -> None:
        super().__init__()
        n_nodes = (1 + math.isqrt(1 + 8 * len(operations))) // 2  # every pair of nodes has an edge
        self._ends = [(target, source) for target in range(1, n_nodes) for source in range(target)]
        self.edges = nn.ModuleList(operation(name, channels, affine=affine) for name in operations)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels, H, W)`` to the same shape."""

        def term(position: int, source: Tensor) -> Tensor | None:
            edge = self.edges[position]
            return None if isinstance(edge, Zero) else edge(source)

        return node_values((x,), self._ends, term)[-1]


class ReductionBlock(nn.Module):
    """The residual block between two stages: half the image's side, other channels.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            ReLUConvBN(in_channels, out_channels, 3, stride=2), ReLUConvBN(out_channels, out_channels, 3)
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True), nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, H, W)`` to ``(n, out_channels, ceil(H / 2), ceil(W / 2))``."""
        reduced: Tensor = self.shortcut(x) + self.convolutions(x)
        return reduced


def stem(in_channels: int, channels: int) -> nn.Sequential:
    """Images to the first cell's input, ``channels`` wide."""
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


def head(channels: int, n_classes: int) -> nn.Sequential:
    """The last cell's output, ``channels`` wide, to logits."""
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, n_classes),
    )


def require_cells(space: SearchSpace) -> None:
    """Refuses a search space whose cells are not like those of NAS-Bench-201.

    Raises:
        InputError: It is such a space.
    """
    n_nodes = 1 + max(edge.target for edge in space.edges)
    every_pair = [("", target, source) for target in range(1, n_nodes) for source in range(target)]
    if [(edge.cell, edge.target, edge.source) for edge in space.edges] != every_pair:
        raise InputError(
            f"search space {space.name}: due are cells like those of NAS-Bench-201, in which "
            "every pair of nodes is an edge; choose such a search space or another workload"
        )


def _operation_names(architecture: Architecture) -> list[str]:
    space = get_space(architecture.space)
    require_cells(space)
    return [space.operations[index] for index in architecture.ops]
