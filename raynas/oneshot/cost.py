"""Multiply-adds of the sub-networks of a supernet, as a sum over its edges.

What an operation costs does not hang on those beside it, so a table of every operation of every edge answers
for all architectures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from raynas.lookup import build
from raynas.oneshot.about import About
from raynas.spaces import Architecture, SearchSpace, get_space
from raynas.supernets.cost import count_flops
from raynas.supernets.layout import Layout
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixed_edge import MixedEdge
from raynas.supernets.mixing import Mixing
from raynas.supernets.skeleton import SKELETONS, customary
from raynas.supernets.supernet import Supernet


class SubnetFlops:
    """Multiply-adds of sub-networks for one image: of the convolutions and linear layers on all edges of the
    architecture, those that the output does not hang on too, and of what stands around the cells.

    Args:
        skeleton: A component of ``raynas.supernets.skeleton``; None: the one of the space's kind.
        space: Where architectures come from.
        image_shape: ``(C, H, W)``.
        n_classes: Number of logits.
    """

    def __init__(self, skeleton: Any, space: SearchSpace, image_shape: Sequence[int], n_classes: int) -> None:
        skeleton = customary(skeleton, space.kind)
        channels, height, width = image_shape
        supernet: Supernet = skeleton.supernet(
            space, in_channels=channels, n_classes=n_classes, generator=torch.Generator().manual_seed(0)
        ).eval()
        self._layout = supernet.layout
        self._fixed, cells = _bare(supernet, torch.zeros(1, channels, height, width))
        self._of_edges = {
            kind: np.zeros((len(edges), self._layout.n_columns), dtype=np.int64)
            for kind, edges in self._layout.edges.items()
        }
        count = cache(lambda text, shape: count_flops(alike[text], shape))
        alike: dict[str, nn.Module] = {}  # by all that the multiply-adds of an operation hang on
        for cell, shape in cells:
            for row, (edge, of_edge) in enumerate(_edges(cell, self._layout, shape)):
                for column, candidate in enumerate(edge.candidates):
                    if any(True for _ in candidate.parameters()):
                        alike.setdefault(repr(candidate), candidate)
                        self._of_edges[cell.kind][row, column] += count(repr(candidate), of_edge)

    def count(self, architecture: Architecture) -> int:
        """Multiply-adds.

        Args:
            architecture: Of the space.
        """
        alive = self._layout.alive_of(architecture)
        return self._fixed + sum(int(self._of_edges[kind][rows].sum()) for kind, rows in alive.items())

    def __call__(self, architecture: Architecture) -> float:
        """Multiply-adds in millions."""
        return self.count(architecture) / 1e6


def subnet_flops(about: About) -> SubnetFlops:
    """The multiply-adds of a trained supernet's sub-networks; counted once a process."""
    return _counter(about.space, json.dumps(about.skeleton), about.image_shape, about.n_classes)


@lru_cache(maxsize=4)
def _counter(space: str, skeleton: str, image_shape: tuple[int, ...], n_classes: int) -> SubnetFlops:
    return SubnetFlops(build(SKELETONS, **json.loads(skeleton)), get_space(space), image_shape, n_classes)


def _bare(supernet: Supernet, image: Tensor) -> tuple[int, list[tuple[MixedCell, tuple[int, ...]]]]:
    """Multiply-adds without operations on the edges, and all cells with the ``(C, H, W)`` of their inputs."""
    none = {kind: np.zeros_like(rows) for kind, rows in supernet.layout.all_alive().items()}
    mixing = Mixing({kind: torch.zeros(rows.shape) for kind, rows in none.items()}, none)
    cells: list[tuple[MixedCell, tuple[int, ...]]] = []

    def note(cell: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(cell, MixedCell)
        cells.append((cell, tuple(arguments[0][0].shape[1:])))

    for cell in supernet.modules():
        if isinstance(cell, MixedCell):
            cell.register_forward_pre_hook(note)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        supernet(image, mixing)
    return int(counter.get_total_flops()) // 2, cells  # PyTorch counts a multiply-add as two


def _edges(
    cell: MixedCell, layout: Layout, shape: tuple[int, ...]
) -> Iterator[tuple[MixedEdge, tuple[int, ...]]]:
    """The edges of a cell with the ``(C, H, W)`` of their inputs."""
    ends = layout.edges[cell.kind]
    n_inputs = min(edge.target for edge in ends)
    edges: list[MixedEdge] = list(cell.edges)  # type: ignore[arg-type]
    channels, *sides = shape
    stride = max(edge.stride for edge in edges)
    inner = (channels, *(-(-side // stride) for side in sides))
    for edge, end in zip(edges, ends, strict=True):
        yield edge, shape if end.source < n_inputs else inner
