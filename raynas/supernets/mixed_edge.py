"""An edge of a supernet's cell: all its candidate operations, summed by their mixing weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from raynas.supernets.operations import Zero, operation


@dataclass(frozen=True)
class EdgeShape:
    """What an edge is built for.

    Attributes:
        operations: Names of its candidates, column by column.
        channels: Channels of input and output.
        stride: 2 where the output has half the input's side.
        pool_norm: Whether a pool is followed by batch norm, as in the supernets of DARTS.
        affine: Whether batch norms have weights.
    """

    operations: tuple[str, ...]
    channels: int
    stride: int = 1
    pool_norm: bool = False
    affine: bool = False


@dataclass(frozen=True)
class EdgeMixing:
    """What one edge is given of a ``Mixing``.

    Attributes:
        weights: For each column a tensor of no dimensions.
        alive: For each column, whether its operation is computed.
        progress: Share of the search that is over, in [0, 1].
        dead_as_numbers: See ``Mixing``.
    """

    weights: Sequence[Tensor]
    alive: Sequence[bool]
    progress: float = 0.0
    dead_as_numbers: bool = False


BuildEdge: TypeAlias = Callable[[EdgeShape], nn.Module]
"""Gives a module with ``forward(x: Tensor, mixing: EdgeMixing) -> Tensor | None``; None stands for zeros."""


class EdgeWrapper(Protocol):
    """What a component of ``raynas.differentiable.mixed_op`` does to every edge when a supernet is built."""

    def wrapped(self, shape: EdgeShape, build: BuildEdge) -> nn.Module:
        """An edge around one that ``build`` makes, maybe of another shape."""
        ...


class MixedEdge(nn.Module):
    """All candidates of an edge.

    Of operations that are not alive nothing is computed, and nothing of ``none``, which adds nothing.

    Args:
        shape: What to build.
    """

    reads_progress: ClassVar[bool] = False

    def __init__(self, shape: EdgeShape) -> None:
        super().__init__()
        self.candidates = nn.ModuleList(
            operation(
                name,
                shape.channels,
                stride=shape.stride,
                affine=shape.affine,
                pool_norm=shape.pool_norm,
            )
            for name in shape.operations
        )
        self.stride = shape.stride
        self._adds = [not isinstance(candidate, Zero) for candidate in self.candidates]

    def forward(self, x: Tensor, mixing: EdgeMixing) -> Tensor | None:
        """``(n, channels, H, W)`` to the sum of weighted operations; None where nothing adds to it."""
        total: Tensor | None = None
        for column, (candidate, adds) in enumerate(zip(self.candidates, self._adds, strict=True)):
            if adds and mixing.alive[column]:
                term = mixing.weights[column] * candidate(x)
                total = term if total is None else total + term
        if mixing.dead_as_numbers:
            if total is None:
                total = torch.zeros_like(x[:, :, :: self.stride, :: self.stride])
            for weight, alive in zip(mixing.weights, mixing.alive, strict=True):
                total = total if alive else total + weight
        return total


def edge_builder(wrappers: Sequence[EdgeWrapper] = ()) -> BuildEdge:
    """Builds mixed edges inside wrappers, the first of them outermost."""
    build: BuildEdge = MixedEdge
    for wrapper in reversed(wrappers):
        build = _around(wrapper, build)
    return build


def _around(wrapper: EdgeWrapper, build: BuildEdge) -> BuildEdge:
    return lambda shape: wrapper.wrapped(shape, build)
