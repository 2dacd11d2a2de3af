"""The steps of a supernet's operations, apart from how they are computed.

Modules are made for training: batch norms normalise what convolutions give. Here a convolution and the batch
norm behind it are one step, which ``raynas.oneshot.kernels`` computes in the ways that scoring needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from torch import Tensor, nn

from raynas.supernets.operations import FactorizedReduce


@dataclass(frozen=True)
class Norm:
    """A batch norm.

    Attributes:
        name: Of the module.
        affine: Whether it has weights.
        eps: Added to the variance.
    """

    name: str
    affine: bool
    eps: float


@dataclass(frozen=True)
class Convolution:
    """A convolution without bias, and the batch norm behind it.

    Attributes:
        weights: Names of its kernels: one; or of a factorised reduction two, of which the first reads the
            even pixels and the second the odd ones.
        stride: Step.
        padding: On every side.
        dilation: Pixels from one tap to the next.
        norm: None where there is none behind it.
    """

    weights: tuple[str, ...]
    stride: int
    padding: int
    dilation: int
    norm: Norm | None = None


@dataclass(frozen=True)
class Linear:
    """A linear layer.

    Attributes:
        name: Of the module.
    """

    name: str


@dataclass(frozen=True)
class Rectifier:
    """A ReLU."""


@dataclass(frozen=True)
class Mean:
    """The mean over the image."""


@dataclass(frozen=True)
class Pool:
    """A pool over 3x3 pixels, of those that are in the image.

    Attributes:
        average: Whether it averages or takes the greatest.
        stride: Step.
    """

    average: bool
    stride: int


@dataclass(frozen=True)
class Other:
    """Anything without weights that treats each channel alone.

    Attributes:
        module: As the supernet has it.
    """

    module: nn.Module


Step: TypeAlias = Convolution | Norm | Linear | Rectifier | Mean | Pool | Other
Chain: TypeAlias = tuple[Step, ...]


Noted: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""By a batch norm's name ``(groups * C,)`` means and unbiased variances of the last images."""


class Kernels(Protocol):
    """Computes steps, for several networks at once: the groups, whose channels lie side by side.

    Attributes:
        n_groups: How many.
        noted: What the batch norms saw, where they normalise by that.
    """

    n_groups: int
    noted: Noted

    def apply(self, step: Step, x: Tensor, *, in_place: bool = False) -> Tensor:
        """``(n, groups * C, H, W)`` to what the step makes of it; of a linear layer ``(groups, n, out)``.

        Args:
            step: What to compute.
            x: Of what.
            in_place: Whether ``x`` may be overwritten.
        """
        ...


def passed(chain: Sequence[Step], x: Tensor, kernels: Kernels) -> Tensor:
    """What a chain of steps makes of a tensor, which is left as it is."""
    for number, step in enumerate(chain):
        x = kernels.apply(step, x, in_place=number > 0)
    return x


def chain_of(root: nn.Module, *names: str) -> Chain:
    """The steps of modules in a row, with batch norms joined to the convolutions before them.

    Args:
        root: What holds the modules.
        names: Of operations or sequences of layers in it.
    """
    found: list[Step] = []
    for name in names:
        for step in _steps_of(name, root.get_submodule(name)):
            before = found[-1] if found else None
            if isinstance(step, Norm) and isinstance(before, Convolution) and before.norm is None:
                found[-1] = replace(before, norm=step)
            else:
                found.append(step)
    return tuple(found)


def _steps_of(name: str, module: nn.Module) -> Iterator[Step]:
    """The steps of a module, batch norms by themselves."""
    match module:
        case nn.Sequential():
            for child_name, child in module.named_children():
                yield from _steps_of(f"{name}.{child_name}", child)
        case FactorizedReduce():
            yield Rectifier()
            yield Convolution((f"{name}.even.weight", f"{name}.odd.weight"), 2, 0, 1)
            yield from _steps_of(f"{name}.norm", module.norm)
        case nn.Conv2d():
            assert not isinstance(module.padding, str)
            stride, padding, dilation = map(_alike, (module.stride, module.padding, module.dilation))
            yield Convolution((f"{name}.weight",), stride, padding, dilation)
        case nn.BatchNorm2d():
            yield Norm(name, module.affine, module.eps)
        case nn.Linear():
            yield Linear(name)
        case nn.ReLU():
            yield Rectifier()
        case nn.AdaptiveAvgPool2d():
            yield Mean()
        case nn.AvgPool2d() if module.kernel_size == 3:
            yield Pool(average=True, stride=_alike(module.stride))
        case nn.MaxPool2d():
            yield Pool(average=False, stride=_alike(module.stride))
        case nn.Identity() | nn.Flatten():
            return
        case _:
            yield Other(module)


def _alike(sizes: int | tuple[int, ...]) -> int:
    """Of a size that is the same in both directions."""
    return sizes if isinstance(sizes, int) else sizes[0]


def weights_of(steps: Iterable[Step]) -> list[str]:
    """Names of all weights that steps take, each once."""
    found: dict[str, None] = {}
    for step in steps:
        match step:
            case Convolution():
                found.update(dict.fromkeys(step.weights))
                if step.norm is not None:
                    found.update(dict.fromkeys(weights_of([step.norm])))
            case Norm(affine=True) | Linear():
                found.update(dict.fromkeys((f"{step.name}.weight", f"{step.name}.bias")))
    return list(found)


def norms_of(steps: Iterable[Step]) -> list[str]:
    """Names of all batch norms in steps."""
    norms = [step.norm if isinstance(step, Convolution) else step for step in steps]
    return [norm.name for norm in norms if isinstance(norm, Norm)]
