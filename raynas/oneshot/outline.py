"""What a supernet computes along a path, step by step, apart from how it is computed.

A supernet's forward pass is made for training: it weighs operations, and normalises what convolutions give.
Here it is laid out as convolutions together with the batch norms behind them, which ``kernels`` computes in
the ways that scoring needs: to take statistics, or with the norms folded in and several weights side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from raynas.supernets.darts_frame import CifarStem, ImageNetStem
from raynas.supernets.layout import Layout
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.operations import FactorizedReduce
from raynas.supernets.supernet import Supernet


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
Columns: TypeAlias = Mapping[str, Sequence[int | None]]
"""For each kind of cell the column of every edge's operation; None for an edge that is not on the path."""


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


class Beginnings:
    """What sub-networks begin with, computed for the first that needs it: on the same images and weights all
    have the same stem, and those with an operation on an edge from the first cell's input the same of it.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int] | None, tuple[Tensor, Noted]] = {}

    def passed(
        self, place: tuple[int, int] | None, chain: Chain, x: Tensor, kernels: Kernels
    ) -> Tensor:
        """What a chain of steps makes of a tensor.

        Args:
            place: Row and column in the first cell; None for the stem.
            chain: What stands there.
            x: What it is given.
            kernels: Computes the steps.
        """
        if place not in self._kept:
            made = passed(chain, x, kernels)
            noted = {name: kernels.noted[name] for name in _norms_of(chain) if name in kernels.noted}
            self._kept[place] = made, noted
        made, noted = self._kept[place]
        kernels.noted.update(noted)
        return made


class Outline(ABC):
    """A supernet of ours, laid out.

    Args:
        supernet: Whose modules are read, not their weights.
    """

    def __init__(self, supernet: Supernet) -> None:
        self.layout = supernet.layout

    @abstractmethod
    def logits(
        self,
        images: Tensor,
        columns: Columns,
        kernels: Kernels,
        beginnings: Beginnings | None = None,
    ) -> Tensor:
        """``(groups, n, n_classes)`` of one network or several.

        Args:
            images: ``(n, C, H, W)``, shown to all groups, or ``(n, groups * C, H, W)``.
            columns: The path.
            kernels: Computes the steps.
            beginnings: Of other paths on the same images, weights and statistics.
        """

    @abstractmethod
    def chains(self, columns: Columns) -> Iterator[Chain]:
        """All that is computed along a path."""

    def steps(self, columns: Columns) -> Iterator[Step]:
        """All that is computed along a path, each step once."""
        for chain in self.chains(columns):
            yield from chain


class NasBench201Outline(Outline):
    """Of ``raynas.supernets.skeleton.nas_bench_201``."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__(supernet)
        self._stem = chain_of("stem", supernet.stem)
        self._head = chain_of("head", supernet.head)
        self._blocks: list[_Cell | _Residual] = []
        for at, block in enumerate(supernet.body):  # type: ignore[arg-type]
            name = f"body.{at}"
            if isinstance(block, MixedCell):
                self._blocks.append(_Cell(name, block, self.layout))
            else:
                self._blocks.append(_Residual(name, block))

    def logits(
        self,
        images: Tensor,
        columns: Columns,
        kernels: Kernels,
        beginnings: Beginnings | None = None,
    ) -> Tensor:
        begun = passed if beginnings is None else partial(beginnings.passed, None)
        x = begun(self._stem, images, kernels)
        for number, block in enumerate(self._blocks):
            if isinstance(block, _Cell):
                value = block.values((x,), columns, kernels, None if number else beginnings)[-1]
                x = torch.zeros_like(x) if value is None else value
            else:
                x = block.value(x, kernels)
        return passed(self._head, x, kernels)

    def chains(self, columns: Columns) -> Iterator[Chain]:
        yield self._stem
        for block in self._blocks:
            yield from block.chains(columns)
        yield self._head


class DartsOutline(Outline):
    """Of ``raynas.supernets.skeleton.darts``."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__(supernet)
        stem = supernet.stem
        assert isinstance(stem, CifarStem | ImageNetStem)
        if isinstance(stem, CifarStem):
            self._stems = [_joined(*_steps("stem.convolution", stem.convolution), *_steps("stem.norm", stem.norm))]
        else:
            self._stems = [chain_of("stem.quarter", stem.quarter), chain_of("stem.eighth", stem.eighth)]
        self._cells = [
            (
                [chain_of(f"cells.{at}.inputs.{one}", getattr(cell.inputs, one)) for one in ("first", "second")],
                _Cell(f"cells.{at}.nodes", cell.nodes, self.layout),
            )
            for at, cell in enumerate(supernet.cells)  # type: ignore[arg-type]
        ]
        self._head = chain_of("head", supernet.head)

    def logits(
        self,
        images: Tensor,
        columns: Columns,
        kernels: Kernels,
        beginnings: Beginnings | None = None,
    ) -> Tensor:
        # not used here: of three cells or more the stem and the first are too little to be worth keeping
        before_last = passed(self._stems[0], images, kernels)
        last = passed(self._stems[1], before_last, kernels) if len(self._stems) > 1 else before_last
        for number, (inputs, cell) in enumerate(self._cells):
            read = cell.read(columns)
            given = [
                passed(chain[1:] if rectified else chain, x, kernels) if node in read else None
                for node, (chain, x, rectified) in enumerate(
                    zip(inputs, (before_last, last), (number > 1, number > 0), strict=True)
                )
            ]
            made = _side_by_side(cell.values(given, columns, kernels)[len(inputs) :], kernels.n_groups)
            if cell is not self._cells[-1][1]:
                # both cells that read it would begin by that
                made = kernels.apply(Rectifier(), made, in_place=True)
            before_last, last = last, made
        return passed(self._head, last, kernels)

    def chains(self, columns: Columns) -> Iterator[Chain]:
        yield from self._stems
        for inputs, cell in self._cells:
            read = cell.read(columns)
            yield from (chain for node, chain in enumerate(inputs) if node in read)
            yield from cell.chains(columns)
        yield self._head


OUTLINES: Mapping[str, type[Outline]] = {"nas_bench_201": NasBench201Outline, "darts": DartsOutline}
"""By the name of the skeleton."""


class _Cell:
    """A cell: what each column of each edge computes."""

    def __init__(self, name: str, cell: MixedCell, layout: Layout) -> None:
        self._kind = cell.kind
        self._ends = [(edge.target, edge.source) for edge in layout.edges[cell.kind]]
        self._chains = [
            [
                chain_of(f"{name}.edges.{row}.candidates.{column}", candidate)
                for column, candidate in enumerate(edge.candidates)
            ]
            for row, edge in enumerate(cell.edges)
        ]

    def chains(self, columns: Columns) -> Iterator[Chain]:
        for chains, column in zip(self._chains, columns[self._kind], strict=True):
            if column is not None:
                yield chains[column]

    def read(self, columns: Columns) -> set[int]:
        """Nodes that an edge of the path leaves."""
        on_path = zip(self._ends, columns[self._kind], strict=True)
        return {source for (_, source), column in on_path if column is not None}

    def values(
        self,
        inputs: Sequence[Tensor | None],
        columns: Columns,
        kernels: Kernels,
        beginnings: Beginnings | None = None,
    ) -> list[Tensor | None]:
        """Values of all nodes; None for zeros."""
        n_nodes = 1 + max(target for target, _ in self._ends)
        sums: list[Tensor | None] = [*inputs, *[None] * (n_nodes - len(inputs))]
        ours = [False] * n_nodes  # whether a sum is nobody else's, so that it may be added to in place
        begun: dict[tuple[int, Step], Tensor] = {}  # what all edges of a node begin with is computed once
        for row, ((target, source), column) in enumerate(
            zip(self._ends, columns[self._kind], strict=True)
        ):
            x = sums[source]
            if column is None or x is None:
                continue
            chain = self._chains[row][column]
            kept = beginnings is not None and source < len(inputs)
            if kept:
                x = beginnings.passed((row, column), chain, x, kernels)
            elif chain:
                first, *rest = chain
                key = (source, first)
                if key not in begun:
                    begun[key] = kernels.apply(first, x)
                x = passed(rest, begun[key], kernels)
            before, fresh = sums[target], len(chain) > 1 and not kept
            if before is None:
                sums[target], ours[target] = x, fresh
            elif ours[target]:
                before += x
            elif fresh:
                x += before
                sums[target], ours[target] = x, True
            else:
                sums[target], ours[target] = before + x, True
        return sums


class _Residual:
    """NAS-Bench-201's residual block."""

    def __init__(self, name: str, block: nn.Module) -> None:
        self._convolutions = chain_of(f"{name}.convolutions", block.convolutions)
        self._shortcut = chain_of(f"{name}.shortcut", block.shortcut)

    def chains(self, columns: Columns) -> Iterator[Chain]:
        yield self._convolutions
        yield self._shortcut

    def value(self, x: Tensor, kernels: Kernels) -> Tensor:
        made = passed(self._convolutions, x, kernels)
        made += passed(self._shortcut, x, kernels)
        return made


def passed(chain: Sequence[Step], x: Tensor, kernels: Kernels) -> Tensor:
    """What a chain of steps makes of a tensor, which is left as it is."""
    for number, step in enumerate(chain):
        x = kernels.apply(step, x, in_place=number > 0)
    return x


def chain_of(name: str, module: nn.Module) -> Chain:
    """The steps of a module, with batch norms joined to the convolutions before them.

    Args:
        name: Of the module.
        module: An operation, or a sequence of layers.
    """
    return _joined(*_steps(name, module))


def _steps(name: str, module: nn.Module) -> Iterator[Step]:
    match module:
        case nn.Sequential():
            for child_name, child in module.named_children():
                yield from _steps(f"{name}.{child_name}", child)
        case FactorizedReduce():
            yield Rectifier()
            yield Convolution((f"{name}.even.weight", f"{name}.odd.weight"), 2, 0, 1)
            yield from _steps(f"{name}.norm", module.norm)
        case nn.Conv2d():
            stride, padding, dilation = module.stride[0], module.padding[0], module.dilation[0]
            assert isinstance(padding, int)
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
            yield Pool(average=True, stride=module.stride)
        case nn.MaxPool2d():
            yield Pool(average=False, stride=module.stride)
        case nn.Identity() | nn.Flatten():
            return
        case _:
            yield Other(module)


def _joined(*steps: Step) -> Chain:
    found: list[Step] = []
    for step in steps:
        before = found[-1] if found else None
        if isinstance(step, Norm) and isinstance(before, Convolution) and before.norm is None:
            found[-1] = replace(before, norm=step)
        else:
            found.append(step)
    return tuple(found)


def _side_by_side(nodes: Sequence[Tensor | None], n_groups: int) -> Tensor:
    """Nodes of each group one after the other."""
    given = [node for node in nodes if node is not None]
    assert len(given) == len(nodes)  # every node of such a cell has two inputs
    if n_groups == 1:
        return torch.cat(given, dim=1)
    grouped = torch.cat([node.unflatten(1, (n_groups, -1)) for node in given], dim=2)
    return grouped.flatten(1, 2).contiguous(memory_format=torch.channels_last)


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


def _norms_of(steps: Iterable[Step]) -> list[str]:
    norms = [step.norm if isinstance(step, Convolution) else step for step in steps]
    return [norm.name for norm in norms if isinstance(norm, Norm)]
