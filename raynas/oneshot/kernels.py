"""The steps of an outline, computed in the two ways that scoring a sub-network takes.

Several networks of one path can be computed at once: they are the groups of grouped convolutions, whose
channels lie side by side. Where there are few channels, that takes less time than one after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from raynas.flatness.subject import Weights
from raynas.oneshot.steps import Convolution, Linear, Mean, Norm, Noted, Other, Pool, Rectifier, Step


class _Kernels(ABC):
    """What the two ways have in common.

    Args:
        levels: Weights of each group; a single one where all groups have the same.
        n_groups: Networks side by side.
    """

    def __init__(self, levels: Sequence[Weights], n_groups: int) -> None:
        self.n_groups = n_groups
        self.noted: Noted = {}
        self._levels = levels

    def apply(self, step: Step, x: Tensor, *, in_place: bool = False) -> Tensor:
        match step:
            case Convolution():
                return self._convolved(step, x)
            case Rectifier():
                return x.relu_() if in_place else x.relu()
            case Norm():
                return self._normalized(step, x)
            case Pool():
                return _pooled(x, step)
            case Mean():
                return x.mean((2, 3))
            case Linear():
                return self._mapped(step, x)
            case Other():
                made: Tensor = step.module(x)
                return made

    @abstractmethod
    def _convolved(self, step: Convolution, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _normalized(self, step: Norm, x: Tensor) -> Tensor: ...

    def _mapped(self, step: Linear, x: Tensor) -> Tensor:
        n_groups = self.n_groups
        biases = self._stacked(f"{step.name}.bias").view(n_groups, 1, -1)
        weights = self._stacked(f"{step.name}.weight").view(n_groups, biases.shape[2], -1)
        of_groups = x.reshape(len(x), n_groups, -1).transpose(0, 1)
        return torch.baddbmm(biases, of_groups, weights.transpose(1, 2))

    def _stacked(self, name: str) -> Tensor:
        """``(groups * n, ...)`` a weight of all groups, one after the other."""
        found = [level[name] for level in self._levels]
        if len(found) < self.n_groups:
            found *= self.n_groups
        return found[0] if len(found) == 1 else torch.cat(found)

    def _kernel(self, step: Convolution) -> Tensor:
        """``(groups * out, in, k, k)`` a convolution's kernels of all groups."""
        if len(step.weights) == 1:
            return self._stacked(step.weights[0])
        # one convolution of 2x2 pixels, with a tap each for even and odd ones
        found = []
        for level in self._levels:
            even, odd = (level[name] for name in step.weights)
            found.append(functional.pad(even, (0, 1, 0, 1)))
            found.append(functional.pad(odd, (1, 0, 1, 0)))
        return torch.cat(found * (self.n_groups // len(self._levels)))


class Evaluating(_Kernels):
    """Evaluation mode: batch norms by given statistics, folded into the convolutions before them.

    Args:
        levels: Weights of each group.
        statistics: Means and variances by name, the same for all groups.
    """

    def __init__(self, levels: Sequence[Weights], statistics: Mapping[str, Tensor]) -> None:
        super().__init__(levels, len(levels))
        self._statistics = statistics
        self._folded: dict[str, tuple[Tensor, Tensor | None]] = {}
        self._scaled: dict[str, tuple[Tensor, Tensor]] = {}

    def _convolved(self, step: Convolution, x: Tensor) -> Tensor:
        name = step.weights[0]
        if name not in self._folded:
            self._folded[name] = self._fold(step)
        return _convolution(x, *self._folded[name], step)

    def _normalized(self, step: Norm, x: Tensor) -> Tensor:
        if step.name not in self._scaled:
            self._scaled[step.name] = self._scale(step)
        scales, shifts = self._scaled[step.name]
        return torch.addcmul(shifts[:, None, None], x, scales[:, None, None])

    def _fold(self, step: Convolution) -> tuple[Tensor, Tensor | None]:
        kernel = self._kernel(step)
        if step.norm is None:
            return kernel, None
        scales, shifts = self._scale(step.norm)
        return kernel * scales[:, None, None, None], shifts

    def _scale(self, norm: Norm) -> tuple[Tensor, Tensor]:
        """``(groups * C,)`` factors and summands of a batch norm."""
        mean = self._statistics[f"{norm.name}.running_mean"].repeat(self.n_groups)
        variance = self._statistics[f"{norm.name}.running_var"].repeat(self.n_groups)
        scales = (variance + norm.eps).rsqrt()
        if not norm.affine:
            return scales, -mean * scales
        scales = scales * self._stacked(f"{norm.name}.weight")
        return scales, self._stacked(f"{norm.name}.bias") - mean * scales


class Recalibrating(_Kernels):
    """Training mode: batch norms by the batch's own statistics, which are noted.

    Args:
        weights: Of all groups; each group is a batch of its own.
        n_groups: Batches side by side.
    """

    def __init__(self, weights: Weights, n_groups: int) -> None:
        super().__init__([weights], n_groups)
        self._kernels: dict[str, Tensor] = {}

    def _convolved(self, step: Convolution, x: Tensor) -> Tensor:
        name = step.weights[0]
        if name not in self._kernels:
            self._kernels[name] = self._kernel(step)
        made = _convolution(x, self._kernels[name], None, step)
        return made if step.norm is None else self._normalized(step.norm, made)

    def _normalized(self, step: Norm, x: Tensor) -> Tensor:
        weight = self._stacked(f"{step.name}.weight") if step.affine else None
        bias = self._stacked(f"{step.name}.bias") if step.affine else None
        mean, variance = torch.zeros(2, x.shape[1], device=x.device)
        self.noted[step.name] = mean, variance
        return functional.batch_norm(
            x, mean, variance, weight, bias, training=True, momentum=1.0, eps=step.eps
        )


def _convolution(x: Tensor, kernel: Tensor, bias: Tensor | None, step: Convolution) -> Tensor:
    if kernel.shape[-1] == 2 and (x.shape[2] % 2 or x.shape[3] % 2):  # a factorised reduction
        x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    made = functional.conv2d(
        x,
        kernel,
        bias,
        stride=step.stride,
        padding=step.padding,
        dilation=step.dilation,
        # images that all groups see have the channels of one
        groups=x.shape[1] // kernel.shape[1],
    )
    # of an image with one channel, the format is not to be seen
    return made.contiguous(memory_format=torch.channels_last)


def _pooled(x: Tensor, pool: Pool) -> Tensor:
    if not pool.average:
        return functional.max_pool2d(x, 3, stride=pool.stride, padding=1)
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return functional.avg_pool2d(x, 3, stride=pool.stride, padding=1, count_include_pad=False)
    # a convolution of each channel alone takes half the time
    ones, shares = _ninths(x.shape[1], x.shape[2], x.shape[3], pool.stride, x.dtype)
    return functional.conv2d(x, ones, stride=pool.stride, padding=1, groups=x.shape[1]).mul_(shares)


@lru_cache(maxsize=64)
def _ninths(channels: int, height: int, width: int, stride: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Kernels of ones, and the inverse of how many of their taps are in the image."""
    ones = torch.ones(channels, 1, 3, 3, dtype=dtype)
    taps = functional.conv2d(torch.ones(1, 1, height, width, dtype=dtype), ones[:1], stride=stride, padding=1)
    return ones, 1 / taps
