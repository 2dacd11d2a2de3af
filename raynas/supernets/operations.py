"""The operations of NAS-Bench-201 (Dong and Yang, ICLR 2020, Sec. 2.1) and DARTS (Liu et al., ICLR 2019).

Also ``noise``, of the search space S4 (Zela et al., ICLR 2020). Each takes ``(n, channels, H, W)`` to the
same shape, and at stride 2 to ``(n, channels, ceil(H / 2), ceil(W / 2))``.

Departures: at stride 2 ``skip_connect`` passes images of odd size too, as the other operations do, which the
original's concatenation cannot. Not built: the variants of NAS-Bench-201's code that change the channels and
that its cells never use.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.assets import suggestion
from raynas.errors import InputError


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution without bias, batch norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: An odd number; the padding keeps the image's size at stride 1.
        stride: Step of the convolution.
        affine: Whether the batch norm has weights.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(
                in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
            ),
            nn.BatchNorm2d(out_channels, affine=affine),
        )


class DepthwiseSeparable(nn.Sequential):
    """ReLU, a convolution of each channel alone, one of each pixel alone, batch norm; none has a bias.

    ``dil_conv`` is one of them, with dilation 2; ``sep_conv`` is two in a row, of which the first may stride.

    Args:
        channels: Channels of input and output.
        kernel_size: Of the first convolution, an odd number; the padding keeps the image's size at stride 1.
        stride: Step of the first convolution.
        dilation: Pixels from one tap of the first convolution to the next.
        affine: Whether the batch norm has weights.
    """

    def __init__(
        self, channels: int, kernel_size: int, *, stride: int = 1, dilation: int = 1, affine: bool = True
    ) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(
                channels,
                channels,
                kernel_size,
                stride=stride,
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                groups=channels,
                bias=False,
            ),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class FactorizedReduce(nn.Module):
    """Half the image's side: ReLU, two 1x1 convolutions side by side, batch norm.

    One half of the output's channels reads the pixels in even rows and columns, the other those in odd ones.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, 2 or more.
        affine: Whether the batch norm has weights.
    """

    def __init__(self, in_channels: int, out_channels: int, *, affine: bool = True) -> None:
        super().__init__()
        if out_channels < 2:
            raise InputError(
                f"{out_channels} output channel where the image's side is halved: a skip needs two, one for "
                "the even pixels and one for the odd; use more channels"
            )
        self.even = nn.Conv2d(in_channels, out_channels - out_channels // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, H, W)`` to ``(n, out_channels, ceil(H / 2), ceil(W / 2))``."""
        x = functional.relu(x)
        # One pixel up and left. The zeros that come in behind are read only where the size is odd.
        shifted = functional.pad(x, (-1, 1, -1, 1))
        reduced: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return reduced


class Zero(nn.Module):
    """Gives zeros; whoever sums may leave it out.

    Args:
        stride: 2 for half the image's side.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the output's shape, cut off from ``x``."""
        return torch.zeros_like(x[:, :, :: self._stride, :: self._stride])


class Noise(nn.Module):
    """Gives fresh standard normal numbers, in evaluation mode too; see ``draws`` for where they come from.

    Args:
        stride: 2 for half the image's side.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Numbers of the output's shape, independent of ``x``."""
        return torch.randn_like(x[:, :, :: self._stride, :: self._stride])


def operation(
    name: str, channels: int, *, stride: int = 1, affine: bool = True, pool_norm: bool = False
) -> nn.Module:
    """One operation of a cell, ``(n, channels, H, W)`` to the same shape, or with stride 2 to half the side.

    Args:
        name: NAS-Bench-201's or DARTS's name of it.
        channels: Channels of input and output.
        stride: 1 or 2.
        affine: Whether its batch norms have weights: yes in a discrete network, no in a supernet.
        pool_norm: Whether a pool is followed by batch norm, as in the supernets of DARTS.

    Raises:
        InputError: There is no such operation.
    """
    if name not in _OPERATIONS:
        raise InputError(
            f"no operation '{name}'{suggestion(name, list(_OPERATIONS))} Available: {', '.join(_OPERATIONS)}"
        )
    made = _OPERATIONS[name](channels, stride, affine)
    if pool_norm and name.endswith("_pool_3x3"):
        return nn.Sequential(made, nn.BatchNorm2d(channels, affine=affine))
    return made


_Make = Callable[[int, int, bool], nn.Module]  # channels, stride, affine


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:  # noqa: FBT001
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine=affine)


def _convolution(kernel_size: int) -> _Make:
    return lambda channels, stride, affine: ReLUConvBN(
        channels, channels, kernel_size, stride=stride, affine=affine
    )


def _separable(kernel_size: int) -> _Make:
    return lambda channels, stride, affine: nn.Sequential(
        DepthwiseSeparable(channels, kernel_size, stride=stride, affine=affine),
        DepthwiseSeparable(channels, kernel_size, affine=affine),
    )


def _dilated(kernel_size: int) -> _Make:
    return lambda channels, stride, affine: DepthwiseSeparable(
        channels, kernel_size, stride=stride, dilation=2, affine=affine
    )


_OPERATIONS: dict[str, _Make] = {
    "none": lambda channels, stride, affine: Zero(stride),
    "skip_connect": _skip,
    "nor_conv_1x1": _convolution(1),
    "nor_conv_3x3": _convolution(3),
    "avg_pool_3x3": lambda channels, stride, affine: nn.AvgPool2d(
        3, stride=stride, padding=1, count_include_pad=False
    ),
    "max_pool_3x3": lambda channels, stride, affine: nn.MaxPool2d(3, stride=stride, padding=1),
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
    "noise": lambda channels, stride, affine: Noise(stride),
}
