"""Normal and reduction cells whose intermediate nodes each keep two inputs (DARTS; Liu et al., ICLR 2019).

Nodes 0 and 1 are the outputs of the two cells before; every intermediate node may take its inputs from all
nodes before it. A site is one intermediate node and a choice its unordered pair of (predecessor, operation)
slots, so one step changes an operation or rewires an input with any operation: 264 steps from any
architecture of 4 nodes and 7 operations. ``none`` may be an operation of the supernet but never of a discrete
architecture.

Written as the literature does: ``Genotype(normal=[('skip_connect', 0), ...], normal_concat=range(2, 6),
reduce=...)``, two pairs a node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise, product
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.spaces.architecture import ABSENT
from raynas.spaces.site import MOST_CHOICES, Edge, Site

_CELLS = ("normal", "reduce")
_INPUT_NODES = 2
_INPUTS = 2

_GENOTYPE = re.compile(r"\s*Genotype\s*\((.*)\)\s*", re.DOTALL)
_FIELD = re.compile(r"\s*(\w+)\s*=\s*(?:\[([^\]]*)\]|range\(\s*(\d{1,4})\s*,\s*(\d{1,4})\s*\))\s*(?:,|\Z)")
_NUMBER = re.compile(r"\s*(\d{1,4})\s*(?:,|\Z)")
_PAIR = re.compile(r"\s*\(\s*(['\"])(\w+)\1\s*,\s*(\d{1,4})\s*\)\s*(?:,|\Z)")


@dataclass(frozen=True)
class Darts:
    """Structure of the DARTS space, its subspaces S1 to S4, and relatives with other nodes or operations.

    Attributes:
        operations: Names of all operations.
        edges: Those of the normal cell, then those of the reduction cell, each by target, then source.
    """

    operations: tuple[str, ...]
    edges: tuple[Edge, ...]

    least_nodes: ClassVar[int] = 1
    never_selected: ClassVar[frozenset[str]] = frozenset({"none"})

    @classmethod
    def layout(cls, nodes: int) -> tuple[tuple[str, int, int], ...]:
        """(cell, target, source) of every edge, in order.

        Args:
            nodes: Intermediate nodes of a cell.
        """
        targets = range(_INPUT_NODES, _INPUT_NODES + nodes)
        return tuple(
            (cell, target, source) for cell in _CELLS for target in targets for source in range(target)
        )

    def sites(self) -> tuple[Site, ...]:
        """One site an intermediate node; the distance is the number of slots not shared.

        Raises:
            InputError: A node has more than ``MOST_CHOICES`` choices.
        """
        nodes = [self.edges[first:last] for first, last in self._spans]
        for edges in nodes:
            _check_size(edges)
        return tuple(_site(edges, self.operations) for edges in nodes)

    def format(self, ops: Sequence[int]) -> str:
        """The genotype, each node's pairs in the order of their predecessors."""
        pairs: dict[str, list[str]] = {cell: [] for cell in _CELLS}
        for edge, op in zip(self.edges, ops, strict=True):
            if op != ABSENT:
                pairs[edge.cell].append(f"('{self.operations[op]}', {edge.source})")
        concat = f"range({_INPUT_NODES}, {self._end})"
        fields = (f"{cell}=[{', '.join(pairs[cell])}], {cell}_concat={concat}" for cell in _CELLS)
        return f"Genotype({', '.join(fields)})"

    def parse(self, text: str) -> tuple[int, ...]:
        """Operations of a genotype; white space and the order of a node's pairs do not matter.

        Raises:
            InputError: The text is not a genotype of this structure.
        """
        pairs, concats = _fields(text)
        whole = list(range(_INPUT_NODES, self._end))
        ops = [ABSENT] * len(self.edges)
        for cell in _CELLS:
            if cell not in pairs:
                raise InputError(f"'{cell}', a list of ('operation', predecessor) pairs, is missing")
            if sorted(concats.pop(f"{cell}_concat", whole)) != whole:
                raise InputError(f"{cell}_concat must be all intermediate nodes, {whole}")
            self._place(cell, pairs.pop(cell), ops)
        for field in (*pairs, *concats):
            raise InputError(f"unknown field '{field}'")
        return tuple(ops)

    def _place(self, cell: str, pairs: list[tuple[str, int]], ops: list[int]) -> None:
        due = _INPUTS * (self._end - _INPUT_NODES)
        if len(pairs) != due:
            raise InputError(f"{cell} has {len(pairs)} pairs and must have {due}, two a node")
        for position, (name, source) in enumerate(pairs):
            target = _INPUT_NODES + position // _INPUTS
            edge = self._edge_of.get((cell, target, source))
            if edge is None:
                raise InputError(
                    f"{cell} node {target} cannot take an input from node {source}, only from those before"
                )
            if ops[edge] != ABSENT:
                raise InputError(
                    f"{cell} node {target} takes two inputs from node {source}; they must differ"
                )
            if name not in self.operations or name in self.never_selected:
                selectable = [op for op in self.operations if op not in self.never_selected]
                raise InputError(
                    f"{cell} {target}<-{source}: '{name}' is not an operation of an architecture here"
                    f"{suggestion(name, selectable)}"
                )
            ops[edge] = self.operations.index(name)

    @cached_property
    def _spans(self) -> tuple[tuple[int, int], ...]:
        firsts = [position for position, edge in enumerate(self.edges) if edge.source == 0]
        return tuple(pairwise([*firsts, len(self.edges)]))

    @cached_property
    def _edge_of(self) -> dict[tuple[str, int, int], int]:
        return {(edge.cell, edge.target, edge.source): position for position, edge in enumerate(self.edges)}

    @cached_property
    def _end(self) -> int:
        return max(edge.target for edge in self.edges) + 1


def _check_size(edges: Sequence[Edge]) -> None:
    n_choices = sum(
        len(one.selectable) * len(other.selectable) for one, other in combinations(edges, _INPUTS)
    )
    if n_choices > MOST_CHOICES:
        raise InputError(
            f"{edges[0].cell} node {edges[0].target} has {n_choices:,} choices of two inputs and their "
            f"operations, and may have {MOST_CHOICES:,}; use fewer nodes or operations"
        )


def _site(edges: Sequence[Edge], operations: tuple[str, ...]) -> Site:
    cell, target = edges[0].cell, edges[0].target
    pairs = list(combinations(edges, _INPUTS))
    choices: list[tuple[int, ...]] = []
    answers: list[tuple[tuple[str, str], ...]] = []
    for pair in pairs:
        inputs = "+".join(str(edge.source) for edge in pair)
        for ops in product(*(edge.selectable for edge in pair)):
            written = [ABSENT] * len(edges)
            # A question with a single answer is not asked.
            said = [(f"{cell}_node_{target}_inputs", inputs)] if len(pairs) > 1 else []
            for edge, op in zip(pair, ops, strict=True):
                written[edge.source] = op
                if len(edge.selectable) > 1:
                    said.append((f"{cell}_edge_{target}<-{edge.source}", operations[op]))
            choices.append(tuple(written))
            answers.append(tuple(said))
    return Site(f"{cell} node {target}", tuple(choices), _slots_not_shared(choices), tuple(answers))


def _slots_not_shared(choices: list[tuple[int, ...]]) -> npt.NDArray[np.uint8]:
    distances = np.full((len(choices), len(choices)), _INPUTS, dtype=np.uint8)
    for column in np.array(choices).T:
        distances -= (column[:, None] == column) & (column != ABSENT)
    return distances


def _fields(text: str) -> tuple[dict[str, list[tuple[str, int]]], dict[str, list[int]]]:
    """Lists of pairs and lists of numbers in a genotype, by field."""
    whole = _GENOTYPE.fullmatch(text)
    if whole is None:
        raise InputError("the text is not 'Genotype(...)'")
    pairs: dict[str, list[tuple[str, int]]] = {}
    numbers: dict[str, list[int]] = {}
    for match in _scan(_FIELD, whole[1], "field"):
        name, items, first, last = match.groups()
        if name in pairs or name in numbers:
            raise InputError(f"'{name}' is given twice")
        if items is None:
            numbers[name] = list(range(int(first), int(last)))
        elif name.endswith("_concat"):
            numbers[name] = [int(number[1]) for number in _scan(_NUMBER, items, "number")]
        else:
            pairs[name] = [(pair[2], int(pair[3])) for pair in _scan(_PAIR, items, "pair")]
    return pairs, numbers


def _scan(pattern: re.Pattern[str], text: str, noun: str) -> Iterator[re.Match[str]]:
    position = 0
    while text[position:].strip():
        match = pattern.match(text, position)
        if match is None:
            raise InputError(f"cannot read the {noun} at {text[position : position + 40].strip()!r}")
        yield match
        position = match.end()
