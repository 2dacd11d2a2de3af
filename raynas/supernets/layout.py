"""How a supernet's mixing weights are laid out: for each kind of cell, edges by columns.

The columns of an edge are its candidate operations (``raynas.spaces.site.Edge.operations``), in their order.
Where edges have different numbers of candidates, the rows of those with fewer end in columns that are never
alive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from raynas.spaces import Architecture, SearchSpace
from raynas.spaces.architecture import ABSENT
from raynas.spaces.site import Edge

Alive: TypeAlias = Mapping[str, NDArray[np.bool_]]
"""For each kind of cell ``(edges, columns)``: which operations still count."""


@dataclass(frozen=True)
class Layout:
    """The rows and columns of the mixing weights of a search space's supernets.

    Attributes:
        space: The search space.
    """

    space: SearchSpace

    @cached_property
    def edges(self) -> Mapping[str, tuple[Edge, ...]]:
        """The rows: for each kind of cell its edges, in the order of ``Architecture.ops``."""
        found: dict[str, list[Edge]] = {}
        for edge in self.space.edges:
            found.setdefault(edge.cell, []).append(edge)
        return {kind: tuple(edges) for kind, edges in found.items()}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of cells: one that is called by the empty string, or ``normal`` and ``reduce``."""
        return tuple(self.edges)

    @cached_property
    def n_columns(self) -> int:
        """Columns of every row; the most candidates that an edge has."""
        return max(len(edge.operations) for edge in self.space.edges)

    def all_alive(self) -> dict[str, NDArray[np.bool_]]:
        """Every candidate of every edge."""
        return self._where(lambda edge, operation: True)

    def selectable(self) -> dict[str, NDArray[np.bool_]]:
        """The candidates that a discrete architecture may have."""
        return self._where(lambda edge, operation: operation in edge.selectable)

    def columns_of(self, name: str) -> dict[str, NDArray[np.bool_]]:
        """Where an operation stands; nowhere if the space has none of that name."""
        return self._where(lambda edge, operation: self.space.operations[operation] == name)

    def names(self, kind: str, row: int) -> tuple[str, ...]:
        """Names of an edge's candidates, column by column."""
        return tuple(self.space.operations[index] for index in self.edges[kind][row].operations)

    def alive_of(self, architecture: Architecture) -> dict[str, NDArray[np.bool_]]:
        """One operation a row, none in the row of an edge that the architecture lacks."""
        chosen = dict(zip(self.space.edges, self.space.architecture(architecture.ops).ops, strict=True))
        return self._where(lambda edge, operation: operation == chosen[edge])

    def architecture(self, alive: Alive) -> Architecture:
        """The architecture that is left where every row has one operation or none.

        Raises:
            InputError: It is not one of the space.
            ValueError: A row has several.
        """
        ops: list[int] = []
        for kind, edges in self.edges.items():
            for row, edge in enumerate(edges):
                columns = np.flatnonzero(alive[kind][row]).tolist()
                if len(columns) > 1:
                    raise ValueError(f"edge {edge.name} has {len(columns)} operations left; due is one")
                ops.append(edge.operations[columns[0]] if columns else ABSENT)
        return self.space.architecture(ops)

    def _where(self, holds: Callable[[Edge, int], bool]) -> dict[str, NDArray[np.bool_]]:
        found = {kind: np.zeros((len(edges), self.n_columns), bool) for kind, edges in self.edges.items()}
        for kind, edges in self.edges.items():
            for row, edge in enumerate(edges):
                for column, operation in enumerate(edge.operations):
                    found[kind][row, column] = holds(edge, operation)
        return found
