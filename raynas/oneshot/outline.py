"""A supernet of ours laid out as steps, with which path takes which of them.

Its own forward pass weighs operations; along a single path there is nothing to weigh, and what does not reach
the output need not be computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from raynas.oneshot.steps import (
    Chain,
    Kernels,
    Noted,
    Rectifier,
    Step,
    chain_of,
    norms_of,
    passed,
)
from raynas.supernets.darts_frame import ImageNetStem
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.supernet import Supernet

Columns: TypeAlias = Mapping[str, Sequence[int | None]]
"""For each kind of cell the column of every edge's operation; None for an edge that is not on the path."""


class Beginnings:
    """What sub-networks begin with, computed for the first that needs it: on the same images and weights all
    have the same stem, and those with an operation on an edge from the first cell's input the same of it.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int] | None, tuple[Tensor, Noted]] = {}

    def passed(self, place: tuple[int, int] | None, chain: Chain, x: Tensor, kernels: Kernels) -> Tensor:
        """What a chain of steps makes of a tensor.

        Args:
            place: Row and column in the first cell; None for the stem.
            chain: What stands there.
            x: What it is given.
            kernels: Computes the steps.
        """
        if place not in self._kept:
            made = passed(chain, x, kernels)
            noted = {name: kernels.noted[name] for name in norms_of(chain) if name in kernels.noted}
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
        self._stem = chain_of(supernet, "stem")
        self._head = chain_of(supernet, "head")
        self._blocks: list[_Cell | _Residual] = []
        for at, block in supernet.get_submodule("body").named_children():
            made = _Cell if isinstance(block, MixedCell) else _Residual
            self._blocks.append(made(supernet, f"body.{at}"))

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
        if isinstance(supernet.stem, ImageNetStem):
            self._stems = [chain_of(supernet, "stem.quarter"), chain_of(supernet, "stem.eighth")]
        else:
            self._stems = [chain_of(supernet, "stem.convolution", "stem.norm")]
        self._cells: list[tuple[list[Chain], _Cell]] = []
        for at, _ in supernet.get_submodule("cells").named_children():
            name = f"cells.{at}"
            inputs = [chain_of(supernet, f"{name}.inputs.{one}") for one in ("first", "second")]
            self._cells.append((inputs, _Cell(supernet, f"{name}.nodes")))
        self._head = chain_of(supernet, "head")

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

    def __init__(self, supernet: Supernet, name: str) -> None:
        cell = supernet.get_submodule(name)
        assert isinstance(cell, MixedCell)
        self._kind = cell.kind
        edges = supernet.layout.edges[cell.kind]
        self._ends = [(edge.target, edge.source) for edge in edges]
        self._chains = [
            [
                chain_of(supernet, f"{name}.edges.{row}.candidates.{column}")
                for column in range(len(edge.operations))
            ]
            for row, edge in enumerate(edges)
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
        for row, ((target, source), column) in enumerate(zip(self._ends, columns[self._kind], strict=True)):
            x = sums[source]
            if column is None or x is None:
                continue
            chain = self._chains[row][column]
            fresh = len(chain) > 1
            if beginnings is not None and source < len(inputs):
                x, fresh = beginnings.passed((row, column), chain, x, kernels), False
            elif chain:
                first, *rest = chain
                key = (source, first)
                if key not in begun:
                    begun[key] = kernels.apply(first, x)
                x = passed(rest, begun[key], kernels)
            before = sums[target]
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

    def __init__(self, supernet: Supernet, name: str) -> None:
        self._convolutions = chain_of(supernet, f"{name}.convolutions")
        self._shortcut = chain_of(supernet, f"{name}.shortcut")

    def chains(self, columns: Columns) -> Iterator[Chain]:
        yield self._convolutions
        yield self._shortcut

    def value(self, x: Tensor, kernels: Kernels) -> Tensor:
        made = passed(self._convolutions, x, kernels)
        made += passed(self._shortcut, x, kernels)
        return made


def _side_by_side(nodes: Sequence[Tensor | None], n_groups: int) -> Tensor:
    """Nodes of each group one after the other."""
    given = [node for node in nodes if node is not None]
    assert len(given) == len(nodes)  # every node of such a cell has two inputs
    if n_groups == 1:
        return torch.cat(given, dim=1)
    n_images, _, *size = given[0].shape
    grouped = torch.cat([node.reshape(n_images, n_groups, -1, *size) for node in given], dim=2)
    return grouped.flatten(1, 2).contiguous(memory_format=torch.channels_last)
