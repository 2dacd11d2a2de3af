"""The vectors of weights whose angle RLNAS takes, in our supernets (Zhang et al., CVPR 2021; GeNAS's code).

An architecture's vector strings together, for each cell and each path through it on which no edge is
``none``, what the operations along the path are made of; then, once, the weights outside the edges: stem, the
blocks between stages or at a cell's inputs, classifier. In NAS-Bench-201 a path leads from the input to the
output; in DARTS, where all nodes are the output, from an input to any node, so that the beginning of a path
is one, too.

An operation is made of all its weights. One without convolution brings constants: a pool a 3x3 kernel of
ninths for every channel, and in DARTS an identity its matrix; they pull the angle towards 0, as if it had
converged. In NAS-Bench-201 a skip brings nothing.

Departures: batch norms count where the supernet gives them weights. In DARTS the released code takes the
scale of ``dil_conv``'s batch norm twice and its shift never; here each counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from raynas.errors import InputError
from raynas.flatness.vector import Constant, Vector
from raynas.spaces import Architecture
from raynas.spaces.site import Edge
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixed_edge import MixedEdge
from raynas.supernets.supernet import Supernet


@dataclass(frozen=True)
class _Rule:
    """How a kind of search space strings its vectors.

    Attributes:
        n_inputs: Nodes of a cell that are given; paths begin there.
        every_node_ends: Whether paths end at every other node, or at the last alone.
        identity_counts: Whether an identity brings its matrix.
        classifier_bias: Whether the classifier's biases count.
    """

    n_inputs: int
    every_node_ends: bool
    identity_counts: bool
    classifier_bias: bool


_RULES = {
    "nas_bench_201": _Rule(1, every_node_ends=False, identity_counts=False, classifier_bias=True),
    "darts": _Rule(2, every_node_ends=True, identity_counts=True, classifier_bias=False),
}


@dataclass(frozen=True)
class _Part:
    """What one operation on one edge brings.

    Attributes:
        names: Of its weights.
        constants: Beside them.
    """

    names: tuple[str, ...] = ()
    constants: tuple[Constant, ...] = ()


class Vectors:
    """The vectors of all architectures of a supernet, the same in all cells of a kind.

    Args:
        supernet: One of NAS-Bench-201's or DARTS's, without wrappers around its edges.

    Raises:
        InputError: It is another.
    """

    def __init__(self, supernet: Supernet) -> None:
        self._layout = supernet.layout
        space = self._layout.space
        if space.kind not in _RULES:
            raise InputError(
                f"search space {space.name}: the angle is defined in spaces of kind {' and '.join(_RULES)}, "
                f"not '{space.kind}'; use another metric, such as flatness"
            )
        self._rule = _RULES[space.kind]
        # for each kind of cell, one of its cells after the other: what each column of each row brings
        self._parts: dict[str, list[list[list[_Part]]]] = {}
        for name, module in supernet.named_modules():
            if isinstance(module, MixedCell):
                edges = [
                    self._candidates(f"{name}.edges.{row}", edge, module.channels)
                    for row, edge in enumerate(module.edges)
                ]
                self._parts.setdefault(module.kind, []).append(edges)
        in_edges = {
            name
            for cells in self._parts.values()
            for cell in cells
            for edge in cell
            for part in edge
            for name in part.names
        }
        outside = [name for name, _ in supernet.named_parameters() if name not in in_edges]
        # the classifier is what a skeleton registers last, its biases after its weights
        self._fixed = outside if self._rule.classifier_bias else outside[:-1]

    def of(self, architecture: Architecture) -> Vector:
        """The vector of an architecture; empty where no path through any kind of cell lives.

        Args:
            architecture: Of the supernet's search space.
        """
        times: Counter[str] = Counter()
        constants: Counter[Constant] = Counter()
        lives = False
        for kind, alive in self._layout.alive_of(architecture).items():
            edges = self._layout.edges[kind]
            columns = [self._living_column(kind, row, alive[row]) for row in range(len(edges))]
            uses = edge_uses(
                edges,
                [column is not None for column in columns],
                n_inputs=self._rule.n_inputs,
                every_node_ends=self._rule.every_node_ends,
            )
            lives = lives or any(uses)
            for cell in self._parts[kind]:
                for row, (column, n_uses) in enumerate(zip(columns, uses, strict=True)):
                    if column is not None and n_uses:
                        part = cell[row][column]
                        times.update(dict.fromkeys(part.names, n_uses))
                        constants.update(dict.fromkeys(part.constants, n_uses))
        if not lives:
            return Vector()
        times.update(self._fixed)
        return Vector(dict(times), dict(constants))

    def _living_column(self, kind: str, row: int, alive: NDArray[np.bool_]) -> int | None:
        """Column of an edge's operation; None where the edge is absent or ``none``."""
        columns = np.flatnonzero(alive).tolist()
        if not columns or self._layout.names(kind, row)[columns[0]] == "none":
            return None
        column: int = columns[0]
        return column

    def _candidates(self, prefix: str, edge: nn.Module, channels: int) -> list[_Part]:
        if not isinstance(edge, MixedEdge):
            raise InputError(
                f"{prefix} is a {type(edge).__name__}: the angle is defined for a supernet without wrappers "
                "around its edges; leave mixed_op out, or use another metric, such as flatness"
            )
        return [
            self._part(f"{prefix}.candidates.{column}", candidate, channels)
            for column, candidate in enumerate(edge.candidates)
        ]

    def _part(self, prefix: str, candidate: nn.Module, channels: int) -> _Part:
        names = tuple(f"{prefix}.{name}" for name, _ in candidate.named_parameters())
        if any(isinstance(part, nn.AvgPool2d | nn.MaxPool2d) for part in candidate.modules()):
            return _Part(names, (Constant(1 / 9, 9 * channels),))
        if isinstance(candidate, nn.Identity) and self._rule.identity_counts:
            return _Part(names, (Constant(1.0, channels, zeros=channels * (channels - 1)),))
        return _Part(names)


def edge_uses(
    edges: Sequence[Edge], living: Sequence[bool], *, n_inputs: int, every_node_ends: bool
) -> list[int]:
    """On how many living paths through a cell each edge lies.

    Args:
        edges: Ordered by target; the first nodes are the inputs, where paths begin.
        living: Whether each edge may be on a path.
        n_inputs: How many inputs there are.
        every_node_ends: Whether paths end at every node that is no input, or at the last alone.

    Returns:
        One count an edge: paths that lead to its source times paths that lead on from its target.
    """
    last = max(edge.target for edge in edges)
    leading = [int(node < n_inputs) for node in range(last + 1)]
    onward = [int(node == last or (every_node_ends and node >= n_inputs)) for node in range(last + 1)]
    joined = [(edge.source, edge.target) for edge, lives in zip(edges, living, strict=True) if lives]
    for source, target in sorted(joined, key=lambda ends: ends[1]):
        leading[target] += leading[source]
    for source, target in sorted(joined, key=lambda ends: -ends[0]):
        onward[source] += onward[target]
    return [
        leading[edge.source] * onward[edge.target] if lives else 0
        for edge, lives in zip(edges, living, strict=True)
    ]
