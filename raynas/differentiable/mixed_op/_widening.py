"""Modules with more channels than they had, the new ones copies of old ones (DrNAS; Chen et al., ICLR 2021).

Departure: a channel is copied as a whole. Where DrNAS's code draws anew at every depthwise convolution, so
that a copy's kernel need not be the copied channel's, here the draw of the layer before goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.supernets.operations import DepthwiseSeparable, FactorizedReduce


@dataclass(frozen=True, eq=False)
class Widening:
    """How tensors of a network were widened.

    Attributes:
        indices: For the name of each tensor that was, one entry a dimension: which old entries the new ones
            are; None for all of them.
    """

    indices: Mapping[str, tuple[Tensor | None, ...]]

    def like(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor that belongs to a parameter, such as its momentum, widened in the same way.

        Args:
            name: The parameter's.
            tensor: Of the shape that the parameter had.

        Returns:
            Of the shape that the parameter has; the tensor itself where that did not change.
        """
        for dimension, index in enumerate(self.indices.get(name, ())):
            if index is not None:
                tensor = tensor.index_select(dimension, index.to(tensor.device))
        return tensor


def widen(
    module: nn.Module, name: str, old: int, new: int, generator: torch.Generator
) -> dict[str, tuple[Tensor | None, ...]]:
    """Multiplies all widths of an edge by ``old / new``, in place.

    Parts of an ``nn.Sequential`` hand their channels on; those of any other module are taken to stand side by
    side.

    Args:
        module: Of convolutions without bias, batch norms, and modules without tensors of their own.
        name: Of the module, before those of its tensors in the result.
        old: A divisor of the whole's channels: the module has ``1 / old`` of them.
        new: The same after.
        generator: A CPU generator.

    Returns:
        For each tensor the indices of ``Widening``.

    Raises:
        TypeError: A module of another type has tensors of its own.
    """
    work = _Work(old, new, generator)
    work.part(module, name, None)
    return work.indices


class _Work:
    """A channel map, ``(new width,)``, says which old channel each new one is."""

    def __init__(self, old: int, new: int, generator: torch.Generator) -> None:
        self._old, self._new, self._generator = old, new, generator
        self.indices: dict[str, tuple[Tensor | None, ...]] = {}

    def part(self, module: nn.Module, name: str, channels: Tensor | None) -> Tensor | None:
        """Widens a module that reads some channels; gives the map of those it writes, None where unknown."""
        if isinstance(module, DepthwiseSeparable):
            _, depthwise, pointwise, norm = module
            assert isinstance(depthwise, nn.Conv2d)
            assert isinstance(pointwise, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            channels = self._depthwise(depthwise, f"{name}.1", channels)
            channels = self._convolution(pointwise, f"{name}.2", channels)
            return self._norm(norm, f"{name}.3", channels)
        if isinstance(module, nn.Sequential):
            for child, part in module.named_children():
                channels = self.part(part, f"{name}.{child}", channels)
            return channels
        if isinstance(module, FactorizedReduce):
            return self._reduce(module, name, channels)
        if isinstance(module, nn.Conv2d):
            return self._convolution(module, name, channels)
        if isinstance(module, nn.BatchNorm2d):
            return self._norm(module, name, channels)
        if [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            raise TypeError(f"{name}: a {type(module).__name__} has no rule for more channels")
        if not any(True for _ in module.children()):
            return channels
        for child, part in module.named_children():
            self.part(part, f"{name}.{child}", None)
        return None

    def _wide(self, width: int) -> int:
        return width * self._old // self._new

    def _drawn(self, width: int, wide: int) -> Tensor:
        return torch.cat(
            [torch.arange(width), torch.randint(width, (wide - width,), generator=self._generator)]
        )

    def _read(self, width: int, channels: Tensor | None) -> Tensor:
        return self._drawn(width, self._wide(width)) if channels is None else channels

    def _depthwise(self, layer: nn.Conv2d, name: str, channels: Tensor | None) -> Tensor:
        channels = self._read(layer.in_channels, channels)
        self._take(layer, name, "weight", (channels, None))
        layer.in_channels = layer.out_channels = layer.groups = len(channels)
        return channels

    def _convolution(
        self, layer: nn.Conv2d, name: str, channels: Tensor | None, wide: int | None = None
    ) -> Tensor:
        if layer.bias is not None or layer.groups > 1:
            raise TypeError(f"{name}: a convolution with a bias or with groups has no rule for more channels")
        channels = self._read(layer.in_channels, channels)
        written = self._drawn(layer.out_channels, wide or self._wide(layer.out_channels))
        self._take(layer, name, "weight", (written, channels))
        layer.in_channels, layer.out_channels = len(channels), len(written)
        return written

    def _norm(self, layer: nn.BatchNorm2d, name: str, channels: Tensor | None) -> Tensor:
        channels = self._read(layer.num_features, channels)
        for own in ("weight", "bias", "running_mean", "running_var"):
            if getattr(layer, own) is not None:
                self._take(layer, name, own, (channels,))
        layer.num_features = len(channels)
        return channels

    def _reduce(self, layer: FactorizedReduce, name: str, channels: Tensor | None) -> Tensor:
        n_even, n_all = layer.even.out_channels, layer.norm.num_features
        channels = self._read(layer.even.in_channels, channels)
        n_odd_wide = self._wide(n_all) // 2
        even = self._convolution(layer.even, f"{name}.even", channels, self._wide(n_all) - n_odd_wide)
        odd = self._convolution(layer.odd, f"{name}.odd", channels, n_odd_wide)
        return self._norm(layer.norm, f"{name}.norm", torch.cat([even, n_even + odd]))

    def _take(self, layer: nn.Module, name: str, own: str, index: tuple[Tensor | None, ...]) -> None:
        full = f"{name}.{own}"
        self.indices[full] = index
        tensor = getattr(layer, own)
        taken = Widening(self.indices).like(full, tensor.detach())
        setattr(layer, own, nn.Parameter(taken, tensor.requires_grad) if own in layer._parameters else taken)
