"""Sites: the independent decisions of which every search space is a product.

A site is one edge in NAS-Bench-201 (five choices, its operations) and one intermediate node in the DARTS
family (up to 490 choices, each an unordered pair of (predecessor, operation) slots). It owns the distances
between its choices; the distance of two architectures is the sum over the sites.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError

Choose: TypeAlias = Callable[[str, Sequence[str]], str]
"""Answers a categorical question: ``(parameter name, choices) -> one of the choices``."""

MOST_CHOICES = 5_000
"""Choices that a site may have; its distances are a square table."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of a cell.

    Attributes:
        cell: Which cell (``normal``, ``reduce``); empty where the space has only one.
        target: Node that the edge enters.
        source: Node that it leaves.
        operations: Candidates, as indices into the space's ``operations``, in the order of a supernet's
            columns.
        selectable: Those of them that a discrete architecture may have.
    """

    cell: str
    target: int
    source: int
    operations: tuple[int, ...]
    selectable: tuple[int, ...]

    @property
    def name(self) -> str:
        """``3<-1``, or ``normal 3<-1``."""
        return f"{self.cell} {self.target}<-{self.source}".lstrip()


@dataclass(frozen=True)
class Question:
    """One categorical parameter; each of its values leads to another question, or to a choice of the site."""

    parameter: str
    branches: dict[str, Question | int]


@dataclass(frozen=True, eq=False)
class Site:
    """One independent decision: a finite list of choices and a metric on it.

    Attributes:
        name: What messages call it: ``edge 3<-1``, ``normal node 3``.
        choices: What each choice writes into ``Architecture.ops``, one entry for each of the site's edges.
        distances: ``(n, n)`` distances between the choices: a metric, in which two choices at distance r are
            joined by r steps of distance 1.
        answers: For each choice, the (parameter, value) pairs that lead to it, in the order of asking.
    """

    name: str
    choices: tuple[tuple[int, ...], ...]
    distances: npt.NDArray[np.uint8] = field(repr=False)
    answers: tuple[tuple[tuple[str, str], ...], ...] = field(repr=False)

    @property
    def size(self) -> int:
        """Number of choices."""
        return len(self.choices)

    @cached_property
    def number_of(self) -> dict[tuple[int, ...], int]:
        """The number of a choice, by what it writes."""
        return {choice: number for number, choice in enumerate(self.choices)}

    @cached_property
    def rows(self) -> tuple[bytes, ...]:
        """Rows of ``distances``, quick to index one by one."""
        return tuple(row.tobytes() for row in self.distances)

    @cached_property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """For each choice, how many choices are at distance 0, 1, ... from it."""
        reach = int(self.distances.max())
        table = np.stack([(self.distances == r).sum(axis=1) for r in range(reach + 1)], axis=1)
        return tuple(map(tuple, table.tolist()))

    def shell(self, choice: int, distance: int) -> tuple[int, ...]:
        """Numbers of the choices at exactly a distance from a choice, ascending."""
        shells = self._shells.get(choice)
        if shells is None:
            row = self.distances[choice]
            shells = tuple(tuple(np.flatnonzero(row == r).tolist()) for r in range(len(self.counts[choice])))
            self._shells[choice] = shells
        return shells[distance]

    def between(self, start: int, end: int) -> tuple[tuple[int, ...], ...]:
        """Choices on a shortest way from one choice to another, by their distance from the first."""
        total = int(self.distances[start, end])
        on_the_way = self.distances[start] + self.distances[end] == total
        near = self.distances[start]
        return tuple(tuple(np.flatnonzero(on_the_way & (near == r)).tolist()) for r in range(total + 1))

    def ask(self, choose: Choose) -> int:
        """The choice to which the answers of ``choose`` lead.

        Raises:
            InputError: An answer is not one of the choices offered.
        """
        branch: Question | int = self._first_question
        while isinstance(branch, Question):
            value = choose(branch.parameter, tuple(branch.branches))
            if value not in branch.branches:
                offered = ", ".join(branch.branches)
                raise InputError(
                    f"{branch.parameter}: {value!r} is not one of the choices offered: {offered}"
                )
            branch = branch.branches[value]
        return branch

    @cached_property
    def _shells(self) -> dict[int, tuple[tuple[int, ...], ...]]:
        return {}

    @cached_property
    def _first_question(self) -> Question | int:
        return _tree(range(self.size), self.answers, 0)


def _tree(numbers: Sequence[int], answers: Sequence[Sequence[tuple[str, str]]], depth: int) -> Question | int:
    if len(numbers) == 1:
        return numbers[0]
    by_value: dict[str, list[int]] = {}
    for number in numbers:
        by_value.setdefault(answers[number][depth][1], []).append(number)
    parameter = answers[numbers[0]][depth][0]
    return Question(parameter, {value: _tree(group, answers, depth + 1) for value, group in by_value.items()})
