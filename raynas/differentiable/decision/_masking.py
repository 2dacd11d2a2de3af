"""Mixing weights with operations or whole edges taken out, and what a supernet loses by it.

The score is that of perturbation-based selection (DARTS-PT; Wang et al., ICLR 2021, Sec. 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from raynas.differentiable.slots import Evaluation, Moment
from raynas.supernets.layout import Alive
from raynas.supernets.mixing import Theta

Criterion: TypeAlias = Literal["acc", "loss"]
"""What a loss of quality is measured by: validation accuracy, or validation loss."""


@dataclass(frozen=True, eq=False)
class Masked:
    """Mixing weights while operations are taken out of them; the rest is never renormalised.

    Attributes:
        theta: ``(edges, columns)`` weights of each kind.
        alive: ``(edges, columns)`` of each kind.
    """

    theta: Theta
    alive: Alive

    @staticmethod
    def at(moment: Moment) -> Masked:
        """What a decision finds."""
        return Masked(moment.theta, moment.alive)

    def without(self, kind: str, row: int, column: int | None = None) -> Masked:
        """Without one operation of an edge, or without the edge."""
        where = (row, slice(None) if column is None else column)
        theta, alive = self.theta[kind].clone(), self.alive[kind].copy()
        theta[where] = 0
        alive[where] = False
        return Masked({**self.theta, kind: theta}, {**self.alive, kind: alive})

    def decided(self, kind: str, row: int, column: int) -> Masked:
        """With one operation on an edge, of weight 1."""
        bare = self.without(kind, row)
        bare.theta[kind][row, column] = 1
        bare.alive[kind][row, column] = True
        return bare

    def harm(self, evaluate: Callable[[Theta, Alive], Evaluation], criterion: Criterion) -> float:
        """How bad the supernet is under these weights; a loss that is not a number is the worst."""
        found = evaluate(self.theta, self.alive)
        harm = -found.accuracy_pct if criterion == "acc" else found.loss
        return math.inf if math.isnan(harm) else harm


def most_missed(
    masked: Masked,
    kind: str,
    row: int,
    columns: Sequence[int],
    evaluate: Callable[[Theta, Alive], Evaluation],
    criterion: Criterion,
) -> int:
    """The operation of an edge without which the supernet is worst; of equal ones the first.

    Args:
        masked: What the supernet is now.
        kind: Of cell.
        row: The edge.
        columns: Candidates, ascending; a single one is not evaluated.
        evaluate: See ``raynas.differentiable.slots.Moment``.
        criterion: What to measure by.
    """
    if len(columns) == 1:
        return columns[0]
    harms = {column: masked.without(kind, row, column).harm(evaluate, criterion) for column in columns}
    return max(columns, key=lambda column: harms[column])
