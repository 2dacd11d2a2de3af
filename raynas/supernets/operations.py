"""The operations of NAS-Bench-201 (Dong and Yang, ICLR 2020, Sec. 2.1) at stride 1 and equal channels.

Not built: the strided and channel-changing variants that NAS-Bench-201's code carries along and its cells
never use.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

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


class Zero(nn.Module):
    """Gives zeros; whoever sums may leave it out."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros like ``x``, cut off from it."""
        return torch.zeros_like(x)


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


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:  # noqa: FBT001
    return nn.Identity()


def _average(channels: int, stride: int, affine: bool) -> nn.Module:  # noqa: FBT001
    return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)


_OPERATIONS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "none": lambda channels, stride, affine: Zero(),
    "skip_connect": _skip,
    "nor_conv_1x1": lambda channels, stride, affine: ReLUConvBN(
        channels, channels, 1, stride=stride, affine=affine
    ),
    "nor_conv_3x3": lambda channels, stride, affine: ReLUConvBN(
        channels, channels, 3, stride=stride, affine=affine
    ),
    "avg_pool_3x3": _average,
}
