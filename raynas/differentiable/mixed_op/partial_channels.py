"""Operations on a share of the channels (PC-DARTS; Xu et al., ICLR 2020; DrNAS, Chen et al., ICLR 2021).

An edge's operations see the first ``1 / k`` of its channels; the others go past them, halved by a max pool
where the edge halves the image; then all are shuffled. Architecture parameters of the edges weigh them
against each other: their softmax over the edges into a node, which ``raynas.differentiable.relaxing`` makes.

Departures: the max pool rounds odd image sizes up, as the operations do; an edge of which no operation is
left gives nothing, the channels that go past the operations included. Not built: the variant of A2M's code on
NAS-Bench-201, in which channels go past whole cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.differentiable.mixed_op._widening import Widening, widen
from raynas.errors import InputError
from raynas.ranges import require_positive
from raynas.supernets.mixed_edge import BuildEdge, EdgeMixing, EdgeShape


@dataclass(frozen=True)
class PartialChannels:
    """Every edge on ``1 / k`` of its channels.

    Attributes:
        k: Of how many channels one is given to the operations; 1 is every one, the plain edge.
        edge_normalization: Whether edges have architecture parameters, too.
    """

    neutral: ClassVar[Mapping[str, Any]] = {"k": 1, "edge_normalization": False}

    k: int = 4
    edge_normalization: bool = True

    def __post_init__(self) -> None:
        require_positive(k=self.k)

    def width_problems(self, channels: int) -> Iterator[tuple[str, str]]:
        """What cannot work with cells of a width.

        Args:
            channels: Of the narrowest cell; the others have multiples of it.

        Yields:
            Field and message.
        """
        if channels % self.k:
            usable = [k for k in range(1, channels + 1) if channels % k == 0]
            yield (
                "k",
                f"{self.k} does not divide the {channels} channels of a cell; use one of "
                f"{', '.join(map(str, usable))}, or other channels",
            )

    def wrapped(self, shape: EdgeShape, build: BuildEdge) -> nn.Module:
        """See ``raynas.supernets.mixed_edge.EdgeWrapper``.

        Raises:
            InputError: ``k`` does not divide the channels.
        """
        for name, message in self.width_problems(shape.channels):
            raise InputError(f"partial_channels: {name}: {message}")
        return build(shape) if self.k == 1 else PartialEdge(shape, self.k, build)


class PartialEdge(nn.Module):
    """An edge on the first ``1 / k`` of the channels, shuffled with the others.

    Args:
        shape: Of the whole edge.
        k: Of how many channels one is given to the operations.
        build: Makes the edge of the operations.
    """

    def __init__(self, shape: EdgeShape, k: int, build: BuildEdge) -> None:
        super().__init__()
        self.k = k
        self.channels = shape.channels
        self._stride = shape.stride
        self.edge = build(replace(shape, channels=shape.channels // k))

    @property
    def reads_progress(self) -> bool:
        """Whether the operations' edge does; see ``raynas.supernets.mixed_cell.MixedCell``."""
        return bool(getattr(self.edge, "reads_progress", True))

    def forward(self, x: Tensor, mixing: EdgeMixing) -> Tensor | None:
        """``(n, channels, H, W)`` to the same shape, or half the side; None where no operation is left."""
        if not any(mixing.alive):
            return None
        width = self.channels // self.k
        mixed: Tensor | None = self.edge(x[:, :width], mixing)
        if self.k == 1:
            return mixed
        others = x[:, width:]
        if self._stride == 2:
            others = functional.max_pool2d(others, 2, ceil_mode=True)
        if mixed is None:
            mixed = torch.zeros_like(others[:, :width])
        return shuffled(torch.cat([mixed, others], dim=1), self.k)


def shuffled(x: Tensor, groups: int) -> Tensor:
    """The channels of equal groups in turn: the first of each, the second of each, and so on.

    Args:
        x: ``(n, channels, H, W)``.
        groups: A divisor of the channels.
    """
    return x.view(len(x), groups, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)


def widened(network: nn.Module, k: int, generator: torch.Generator) -> Widening:
    """Gives the operations of all partial edges a greater share of the channels (DrNAS, Sec. 3.4).

    New channels copy the weights and running statistics of old ones drawn at random, unscaled, so that the
    network's function changes. The network is changed in place; its parameters are new ones under the old
    names.

    A network that was built with the old share and widened has the shapes of one to load a state into.

    Args:
        network: With partial edges.
        k: Of how many channels one is given to the operations from now on.
        generator: A CPU generator.

    Returns:
        How to bring what belongs to the parameters, such as momentum, to their new shapes.

    Raises:
        ValueError: There are no partial edges, or ``k`` is more than theirs or does not divide the channels.
    """
    partial = [(name, part) for name, part in network.named_modules() if isinstance(part, PartialEdge)]
    if not partial:
        raise ValueError("k: no edge has partial channels; add mixed_op: [partial_channels]")
    for _, edge in partial:
        if not 1 <= k <= edge.k:
            raise ValueError(f"k: {k} is not between 1 and the present {edge.k}; channels can only be added")
        if edge.channels % k:
            raise ValueError(f"k: {k} does not divide the {edge.channels} channels of a cell")
    indices: dict[str, tuple[Tensor | None, ...]] = {}
    for name, edge in partial:
        indices |= widen(edge.edge, f"{name}.edge".lstrip("."), edge.k, k, generator)
        edge.k = k
    return Widening(indices)
