"""What stands around the cells of a DARTS network (Liu et al., ICLR 2019), be they mixed or discrete.

Departure: the auxiliary tower takes maps of any size, not of 8x8 and 7x7 only; see ``AuxiliaryTower``.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.supernets.darts_shape import STEM_MULTIPLIER, CellShape, StemName
from raynas.supernets.operations import FactorizedReduce, ReLUConvBN

_POOLED = 5
_AUXILIARY_CHANNELS = (128, 768)


class CifarStem(nn.Module):
    """Images to the inputs of the first cell, twice the same."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        width = STEM_MULTIPLIER * channels
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
