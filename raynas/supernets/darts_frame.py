"""What stands around the cells of a DARTS network (Liu et al., ICLR 2019), be they mixed or discrete.

Layers are numbered from 0. The cells of layers ``floor(L / 3)`` and ``floor(2 L / 3)`` are reductions, which
halve the image and double the channels.

Departure: the auxiliary tower takes maps of any size, not of 8x8 and 7x7 only; see ``AuxiliaryTower``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.spaces import SearchSpace
from raynas.supernets.operations import FactorizedReduce, ReLUConvBN

StemName: TypeAlias = Literal["cifar", "imagenet"]

N_INPUTS = 2
"""Nodes of a cell that are given: the outputs of the two cells before."""

_LEAST_LAYERS = 3
_STEM_MULTIPLIER = 3
_POOLED = 5
_AUXILIARY_CHANNELS = (128, 768)


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
    first = second = _STEM_MULTIPLIER * channels if stem == "cifar" else channels
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


class CifarStem(nn.Module):
    """Images to the inputs of the first cell, twice the same."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        width = _STEM_MULTIPLIER * channels
        self.convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, in_channels, H, W)`` to ``(n, 3 * channels, H, W)``, twice."""
        x = self.norm(self.convolution(images))
        return x, x


class ImageNetStem(nn.Module):
    """Images to the inputs of the first cell, a quarter and an eighth of their side."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        if channels < 2:
            raise InputError(
                f"{channels} channel for the stem of ImageNet, which begins with half as many; give 2 or more"
            )
        self.quarter = nn.Sequential(
            nn.Conv2d(in_channels, channels // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels // 2),
            ReLUConvBN(channels // 2, channels, 3, stride=2),
        )
        self.eighth = ReLUConvBN(channels, channels, 3, stride=2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, in_channels, H, W)`` to ``(n, channels, H / 4, W / 4)`` and a half of that, rounded up."""
        quarter = self.quarter(images)
        return quarter, self.eighth(quarter)


def stem_of(name: StemName, in_channels: int, channels: int) -> nn.Module:
    """Images to the two inputs of the first cell."""
    return (CifarStem if name == "cifar" else ImageNetStem)(in_channels, channels)


class CellInputs(nn.Module):
    """The outputs of the two cells before, brought to a cell's channels and to one size.

    Args:
        shape: Of the cell.
        affine: Whether batch norms have weights.
    """

    def __init__(self, shape: CellShape, *, affine: bool) -> None:
        super().__init__()
        first, second = shape.in_channels
        self.first = (
            FactorizedReduce(first, shape.channels, affine=affine)
            if shape.first_is_larger
            else ReLUConvBN(first, shape.channels, 1, affine=affine)
        )
        self.second = ReLUConvBN(second, shape.channels, 1, affine=affine)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Values of nodes 0 and 1, ``(n, channels, H, W)`` both."""
        return self.first(first), self.second(second)


class AuxiliaryTower(nn.Module):
    """A second classifier on the output of the second reduction, which helps training.

    Maps of 8x8 (CIFAR) and 7x7 (ImageNet) are averaged to 2x2 in overlapping windows of 5x5, as in DARTS, and
    so are all others of 6 to 10 pixels a side; those of other sizes in windows of half their side.

    Args:
        in_channels: Channels of the map.
        n_classes: Number of logits.
        last_norm: Whether its second convolution is followed by batch norm: on CIFAR, not on ImageNet.
    """

    def __init__(self, in_channels: int, n_classes: int, *, last_norm: bool) -> None:
        super().__init__()
        middle, last = _AUXILIARY_CHANNELS
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, last, 2, bias=False),
            *([nn.BatchNorm2d(last)] if last_norm else []),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(last, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, H, W)`` to ``(n, n_classes)`` logits."""
        x = functional.relu(x)
        height, width = x.shape[2:]
        if all(_POOLED < side <= 2 * _POOLED for side in (height, width)):
            x = functional.avg_pool2d(x, _POOLED, stride=(height - _POOLED, width - _POOLED))
        else:
            x = functional.adaptive_avg_pool2d(x, 2)
        logits: Tensor = self.classifier(self.features(x))
        return logits


def head(channels: int, n_classes: int) -> nn.Sequential:
    """The last cell's output, ``channels`` wide, to logits."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, n_classes))
