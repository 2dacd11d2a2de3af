"""Networks of canonical cells (``raynas.spaces.canonical``), several trained side by side.

A cell is built as what it computes: one convolution an instance, and pools and sums as its terms say. So all
architectures of one canonical form are one network, to the last bit.

Small networks on a CPU spend their time in calls, not in arithmetic; several at once share the calls. They
are the groups of grouped convolutions: no group sees another, so the sum of their losses gives each its own
gradients. The memory format is channels-last throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.seeding import derive
from raynas.spaces.canonical import CanonicalCell, Sum

_KERNEL_SIZES = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


class CanonicalNetwork(nn.Module):
    """Stem; stages of equal cells, with a residual block between two that halves the image; head.

    Each tensor of each network is drawn from a generator of its own, seeded by the network's seed and the
    tensor's name, so that cells which share a name share the values. Convolutions are normal with variance
    ``2 / (k * k * out_channels)``, the classifier's weights uniform in +-1/sqrt(in_features), its biases 0,
    batch norms 1 and 0, with momentum 0.2.

    Args:
        cell: The cell.
        seeds: One a network.
        channels: Channels of the first stage; each stage has twice those of the one before.
        cells: Cells a stage.
        stages: Stages.
        in_channels: Channels of the images.
        n_classes: Number of logits.

    Raises:
        InputError: The cell has a convolution other than NAS-Bench-201's.
    """

    def __init__(
        self,
        cell: CanonicalCell,
        *,
        seeds: Sequence[int],
        channels: int,
        cells: int = 1,
        stages: int = 1,
        in_channels: int = 3,
        n_classes: int = 10,
    ) -> None:
        super().__init__()
        self._n_groups = groups = len(seeds)
        with torch.device("meta"):
            self.stem = nn.Sequential(
                _convolution(groups, in_channels, channels, 3), _batch_norm(groups, channels)
            )
            self.stages = nn.ModuleList()
            for stage in range(stages):
                width = channels * 2**stage
                body: list[nn.Module] = [_Cell(cell, groups, width) for _ in range(cells)]
                if stage:
                    body.insert(0, _Reduction(groups, width // 2, width))
                self.stages.append(nn.Sequential(*body))
            self.norm = _batch_norm(groups, width)
            self.classifier = _Classifier(groups, width, n_classes)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for name, module in self.named_modules():
                _draw(module, name, seeds)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every network.

        Args:
            images: ``(n, groups * in_channels, H, W)``, each network's after the other's.

        Returns:
            ``(groups, n_classes, n)``.
        """
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        for stage in self.stages:
            x = stage(x)
        features = functional.relu(self.norm(x)).mean((2, 3))
        of_groups = features.view(len(features), self._n_groups, -1).permute(1, 2, 0)
        logits: Tensor = self.classifier(of_groups)
        return logits

    def side_by_side(self, images: Tensor) -> Tensor:
        """Images of every network as ``forward`` takes them.

        Args:
            images: ``(groups, n, in_channels, H, W)``, or ``(n, in_channels, H, W)`` to show to all.
        """
        if images.dim() == 4:
            return images.repeat(1, self._n_groups, 1, 1)
        return images.transpose(0, 1).flatten(1, 2)


class _Pointwise(nn.Module):
    """A grouped 1x1 convolution as one matrix product; the libraries' own takes five times as long."""

    def __init__(self, groups: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(groups * out_channels, in_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        blocks: Tensor = torch.block_diag(*self.weight.flatten(1).chunk(self.groups))  # type: ignore[no-untyped-call]
        return functional.linear(x.permute(0, 2, 3, 1), blocks).permute(0, 3, 1, 2)


class _Classifier(nn.Module):
    def __init__(self, groups: int, in_features: int, n_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, n_classes, in_features))
        self.bias = nn.Parameter(torch.empty(groups, n_classes, 1))

    def forward(self, features: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, self.weight, features)


def _convolution(
    groups: int, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1
) -> nn.Module:
    if kernel_size == 1:
        return _Pointwise(groups, in_channels, out_channels)
    return nn.Conv2d(
        groups * in_channels,
        groups * out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        groups=groups,
        bias=False,
    )


def _batch_norm(groups: int, channels: int) -> nn.Module:
    return nn.BatchNorm2d(groups * channels, momentum=0.2)


class _ReLUConvBN(nn.Sequential):
    def __init__(
        self, groups: int, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1
    ) -> None:
        super().__init__(
            nn.ReLU(),
            _convolution(groups, in_channels, out_channels, kernel_size, stride=stride),
            _batch_norm(groups, out_channels),
        )


class _Cell(nn.Module):
    def __init__(self, cell: CanonicalCell, groups: int, channels: int) -> None:
        super().__init__()
        self._cell = cell
        self.convolutions = nn.ModuleDict()
        for number, (operation, _) in enumerate(cell.convolutions, 1):
            if operation not in _KERNEL_SIZES:
                raise InputError(
                    f"no convolution '{operation}' in networks of canonical cells; there are "
                    f"{', '.join(_KERNEL_SIZES)}"
                )
            self.convolutions[f"{number}_{operation}"] = _ReLUConvBN(
                groups, channels, channels, _KERNEL_SIZES[operation]
            )

    def forward(self, x: Tensor) -> Tensor:
        pooled: dict[tuple[int, int], Tensor] = {(0, 0): x}  # by source and number of pools
        convolutions = zip(self._cell.convolutions, self.convolutions.values(), strict=True)
        for number, ((_, inputs), convolution) in enumerate(convolutions, 1):
            pooled[number, 0] = convolution(_summed(inputs, pooled))
        return _summed(self._cell.output, pooled) if self._cell.output else torch.zeros_like(x)


class _Reduction(nn.Module):
    """NAS-Bench-201's residual block: half the image's side, other channels."""

    def __init__(self, groups: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = _ReLUConvBN(groups, in_channels, out_channels, 3, stride=2)
        self.second = _ReLUConvBN(groups, out_channels, out_channels, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), _convolution(groups, in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.shortcut(x) + self.second(self.first(x))
        return result


def _summed(terms: Sum, pooled: dict[tuple[int, int], Tensor]) -> Tensor:
    total: Tensor | None = None
    for pools, source, times in terms:
        for done in range(pools):
            if (source, done + 1) not in pooled:
                pooled[source, done + 1] = functional.avg_pool2d(
                    pooled[source, done], 3, stride=1, padding=1, count_include_pad=False
                )
        term = pooled[source, pools]
        term = term if times == 1 else times * term
        total = term if total is None else total + term
    assert total is not None
    return total


def _draw(module: nn.Module, name: str, seeds: Sequence[int]) -> None:
    if isinstance(module, nn.Conv2d | _Pointwise):
        groups = module.weight.chunk(len(seeds))
        deviation = math.sqrt(2 / (groups[0].numel() / groups[0].shape[1]))  # k * k * out_channels
        for seed, weight in zip(seeds, groups, strict=True):
            weight.normal_(0, deviation, generator=_generator(seed, f"{name}.weight"))
    elif isinstance(module, _Classifier):
        bound = 1 / math.sqrt(module.weight.shape[2])
        for seed, weight in zip(seeds, module.weight, strict=True):
            weight.uniform_(-bound, bound, generator=_generator(seed, f"{name}.weight"))
        module.bias.zero_()
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()


def _generator(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, name))
