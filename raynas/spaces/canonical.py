"""Which cells of NAS-Bench-201 compute the same function: their canonical form.

A cell is followed from its input to its output. The value of a node is a multiset of terms: a source (the
cell's input, or one convolution of the cell) with the number of average pools that it has passed. ``none``
gives nothing, ``skip_connect`` copies, ``avg_pool_3x3`` adds a pool to every term (it is linear, so it
distributes over sums), and any other operation is a new *instance*, labelled by its name and by the terms it
is given. Instances, not expressions: one convolution used twice is not two convolutions with equal inputs.
Instances that do not reach the output are removed, and of all orders in which inputs come before their use
the least is taken. The 15,625 cells of NAS-Bench-201 have 5,044 canonical forms.

A definition, not an equivalence: an edge out of an empty node (one that receives nothing) is dropped, while a
convolution of the benchmark's own networks makes its batch norm's bias of such an input.

A note on design choices: the benchmark's own string form (``benchmark_string``) writes expressions, so it
merges cells that train differently, and it does not distribute pools or remove zeros from sums, so it parts
cells that are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.spaces.architecture import Architecture
from raynas.spaces.loading import get_space
from raynas.spaces.space import SearchSpace

INPUT = 0
"""Number of the cell's input among the sources of terms; convolutions are numbered from 1."""

NONE = "none"
SKIP = "skip_connect"
POOL = "avg_pool_3x3"


class Term(NamedTuple):
    """One source in a sum.

    Attributes:
        pools: Average pools between the source and the sum.
        source: ``INPUT``, or the number of a convolution.
        times: How often the sum contains it.
    """

    pools: int
    source: int
    times: int

    def __str__(self) -> str:
        name = "x" if self.source == INPUT else f"c{self.source}"
        pooled = f"{'pool(' * self.pools}{name}{')' * self.pools}"
        return pooled if self.times == 1 else f"{self.times}*{pooled}"


Sum: TypeAlias = tuple[Term, ...]
"""A multiset of terms, ascending."""


class Convolution(NamedTuple):
    """One instance of an operation with weights.

    Attributes:
        operation: Its name.
        inputs: The sum that it is given; convolutions in it come earlier.
    """

    operation: str
    inputs: Sum


@dataclass(frozen=True, order=True, slots=True)
class CanonicalCell:
    """What a cell computes, alike for all cells that compute the same; hashable, ordered, picklable.

    Attributes:
        convolutions: The instances that reach the output; number 1 is the first.
        output: The sum at the cell's output; empty where it does not depend on the input.
    """

    convolutions: tuple[Convolution, ...]
    output: Sum

    def __str__(self) -> str:
        """``c1 = nor_conv_3x3(x); out = 2*c1 + pool(x)``."""
        lines = [f"c{i} = {op}({_written(inputs)})" for i, (op, inputs) in enumerate(self.convolutions, 1)]
        return "; ".join([*lines, f"out = {_written(self.output)}"])

    @property
    def is_connected(self) -> bool:
        """Whether the output depends on the input."""
        return bool(self.output)


def canonical_form(architecture: Architecture) -> CanonicalCell:
    """The canonical form of a cell.

    Raises:
        InputError: The architecture is not a cell like those of NAS-Bench-201.
    """
    return _canonical(architecture)[0]


def convolution_of_edges(architecture: Architecture) -> tuple[int, ...]:
    """For each edge, the number of its convolution in the canonical form; 0 where it has none.

    An edge has none if its operation is not a convolution, if its source node is empty, or if the output does
    not depend on it. So weights trained for the canonical form can be put into the cell as it is written.

    Raises:
        InputError: The architecture is not a cell like those of NAS-Bench-201.
    """
    _, number_of, instances = _canonical(architecture)
    return tuple(number_of.get(instance, 0) for instance in instances)


def classes(space: SearchSpace) -> tuple[npt.NDArray[np.int32], list[CanonicalCell]]:
    """The architectures of a space by what they compute.

    Args:
        space: Of cells like those of NAS-Bench-201, small enough to enumerate.

    Returns:
        ``(size,)`` number of the class of each architecture, by index; and the canonical form of each class.
        Classes are numbered in the order of their first member.

    Raises:
        InputError: The space has other cells, or too many.
    """
    edges, names = _edges(space), space.operations
    number_of: dict[CanonicalCell, int] = {}
    class_of = np.empty(space.size, dtype=np.int32)
    for index, ops in enumerate(space.ops_table().tolist()):
        convolutions, output, _ = _trace([names[op] for op in ops], edges)
        cell, _ = _least(convolutions, output)
        class_of[index] = number_of.setdefault(cell, len(number_of))
    return class_of, list(number_of)


def benchmark_string(architecture: Architecture, *, zeros: bool) -> str:
    """The string by which the NAS-Bench-201 API tells isomorphic cells apart.

    Args:
        architecture: A cell like those of NAS-Bench-201.
        zeros: Edges of ``none`` and out of a node that is itself written ``#`` are written ``#``. The space
            then has 6,466 strings, else 12,751.

    Raises:
        InputError: The architecture is not a cell like those of NAS-Bench-201.
    """
    space = get_space(architecture.space)
    nodes: dict[int, list[str]] = {}
    written = {0: "0"}
    for (target, source), op in zip(_edges(space), architecture.ops, strict=True):
        name = space.operations[op]
        if source not in written:
            written[source] = "+".join(sorted(nodes[source]))
        if zeros and (name == NONE or written[source] == "#"):
            term = "#"
        else:
            term = written[source] if name == SKIP else f"({written[source]})@{name}"
        nodes.setdefault(target, []).append(term)
    return "+".join(sorted(nodes[max(nodes)]))


def _written(terms: Sum) -> str:
    return " + ".join(map(str, terms)) or "0"


def _canonical(architecture: Architecture) -> tuple[CanonicalCell, dict[int, int], list[int]]:
    space = get_space(architecture.space)
    names = [space.operations[op] for op in architecture.ops]
    convolutions, output, instances = _trace(names, _edges(space))
    return *_least(convolutions, output), instances


@cache
def _edges(space: SearchSpace) -> tuple[tuple[int, int], ...]:
    """(target, source) of every edge."""
    n_nodes = 1 + max(edge.target for edge in space.edges)
    every_pair = [("", target, source) for target in range(1, n_nodes) for source in range(target)]
    if [(edge.cell, edge.target, edge.source) for edge in space.edges] != every_pair:
        raise InputError(
            f"search space {space.name}: a canonical form is defined for cells like those of NAS-Bench-201, "
            "in which every pair of nodes is an edge"
        )
    return tuple((target, source) for _, target, source in every_pair)


def _trace(
    names: Sequence[str], edges: Sequence[tuple[int, int]]
) -> tuple[tuple[Convolution, ...], Sum, list[int]]:
    """Follows a cell edge by edge.

    Returns:
        Its convolutions, dead ones too, numbered from 1 in the order of their edges; the output; and the
        number of each edge's convolution, 0 for none.
    """
    nodes: list[dict[tuple[int, int], int]] = [{(0, INPUT): 1}]
    convolutions: list[Convolution] = []
    instances: list[int] = []
    for name, (target, source) in zip(names, edges, strict=True):
        if target == len(nodes):
            nodes.append({})
        terms, total = nodes[source], nodes[target]
        instances.append(0)
        if name == NONE or not terms:
            continue
        if name in (SKIP, POOL):
            more = int(name == POOL)
            for (pools, origin), count in terms.items():
                total[pools + more, origin] = total.get((pools + more, origin), 0) + count
        else:
            convolutions.append(Convolution(name, _sum(terms)))
            instances[-1] = len(convolutions)
            total[0, len(convolutions)] = 1
    return tuple(convolutions), _sum(nodes[-1]), instances


def _sum(terms: dict[tuple[int, int], int]) -> Sum:
    return tuple(sorted(Term(pools, source, count) for (pools, source), count in terms.items()))


@lru_cache(maxsize=1 << 16)  # many cells differ in dead edges only
def _least(convolutions: tuple[Convolution, ...], output: Sum) -> tuple[CanonicalCell, dict[int, int]]:
    """The least form over all orders of the live convolutions, with the new number of each of them."""
    live: set[int] = set()
    reached = [term.source for term in output]
    while reached:
        source = reached.pop()
        if source != INPUT and source not in live:
            live.add(source)
            reached.extend(term.source for term in convolutions[source - 1].inputs)
    return min(_orders(convolutions, output, live, {INPUT: INPUT}, ()), key=lambda found: found[0])


def _orders(
    convolutions: tuple[Convolution, ...],
    output: Sum,
    live: set[int],
    number_of: dict[int, int],
    placed: tuple[Convolution, ...],
) -> Iterator[tuple[CanonicalCell, dict[int, int]]]:
    """Orders that are least at every place: convolutions alike at their place are tried in turn."""
    ready = [
        (Convolution(operation, _renumbered(inputs, number_of)), instance)
        for instance in live - number_of.keys()
        for operation, inputs in [convolutions[instance - 1]]
        if all(term.source in number_of for term in inputs)
    ]
    if not ready:
        yield CanonicalCell(placed, _renumbered(output, number_of)), number_of
        return
    least = min(ready)[0]
    for convolution, instance in ready:
        if convolution == least:
            numbered = {**number_of, instance: len(number_of)}
            yield from _orders(convolutions, output, live, numbered, (*placed, convolution))


def _renumbered(terms: Sum, number_of: dict[int, int]) -> Sum:
    return tuple(sorted(Term(pools, number_of[source], count) for pools, source, count in terms))
