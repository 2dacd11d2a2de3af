"""One cell in which every pair of nodes is an edge that carries one operation (Dong and Yang, ICLR 2020).

Node 0 is the cell's input, the last node its output. Written ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``: the
inputs of each node from 1 on, with the number of the node that each comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.spaces.site import Edge, Site


@dataclass(frozen=True)
class NasBench201:
    """Structure of NAS-Bench-201 and its smaller and larger relatives.

    Attributes:
        operations: Names of all operations.
        edges: In official order: by target, then source.
    """

    operations: tuple[str, ...]
    edges: tuple[Edge, ...]

    least_nodes: ClassVar[int] = 2
    never_selected: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def layout(cls, nodes: int) -> tuple[tuple[str, int, int], ...]:
        """(cell, target, source) of every edge, in order.

        Args:
            nodes: Nodes of the cell, its input and output included.
        """
        return tuple(("", target, source) for target in range(1, nodes) for source in range(target))

    def sites(self) -> tuple[Site, ...]:
        """One site an edge; two operations differ by 1."""
        return tuple(self._site(edge) for edge in self.edges)

    def format(self, ops: Sequence[int]) -> str:
        """The cell string of NAS-Bench-201."""
        return self._template % tuple([names[op] for names, op in zip(self._tokens, ops, strict=True)])

    def parse(self, text: str) -> tuple[int, ...]:
        """Operations of a cell string; spaces around its parts do not matter.

        Raises:
            InputError: The text is not a cell string of this structure.
        """
        nodes = text.strip().split("+")
        if len(nodes) != len(self._spans):
            raise InputError(f"there are {len(nodes)} nodes, joined by '+', and must be {len(self._spans)}")
        ops: list[int] = []
        for target, node in enumerate(map(str.strip, nodes), start=1):
            if len(node) < 2 or node[0] != "|" or node[-1] != "|":
                raise InputError(f"node {target}, {node!r}, must begin and end with '|'")
            inputs = node[1:-1].split("|")
            if len(inputs) != target:
                raise InputError(f"node {target} has {len(inputs)} inputs and must have {target}")
            ops.extend(self._parse_input(target, source, token) for source, token in enumerate(inputs))
        return tuple(ops)

    def _parse_input(self, target: int, source: int, token: str) -> int:
        name, _, origin = map(str.strip, token.partition("~"))
        if origin != str(source):
            raise InputError(f"input {source} of node {target} is {token!r} and must be 'operation~{source}'")
        if name not in self.operations:
            hint = suggestion(name, list(self.operations))
            raise InputError(f"edge {target}<-{source}: unknown operation '{name}'{hint}")
        return self.operations.index(name)

    def _site(self, edge: Edge) -> Site:
        names = [self.operations[op] for op in edge.selectable]
        n = len(names)
        return Site(
            name=f"edge {edge.name}",
            choices=tuple((op,) for op in edge.selectable),
            distances=(1 - np.eye(n)).astype(np.uint8),
            answers=tuple(((f"edge_{edge.name}", name),) if n > 1 else () for name in names),
        )

    @cached_property
    def _tokens(self) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(f"{name}~{edge.source}" for name in self.operations) for edge in self.edges)

    @cached_property
    def _template(self) -> str:
        return "+".join(f"|{'|'.join(['%s'] * (last - first))}|" for first, last in self._spans)

    @cached_property
    def _spans(self) -> tuple[tuple[int, int], ...]:
        n_targets = max(edge.target for edge in self.edges)
        return tuple((t * (t - 1) // 2, t * (t + 1) // 2) for t in range(1, n_targets + 1))
