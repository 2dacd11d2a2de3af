"""Beta-decay: a penalty on the smooth maximum of each edge's logits (beta-DARTS; Ye et al., CVPR 2022).

Its derivative is the softmax of the logits over the number of edges. ``balance`` is from A2M's experiments in
the DARTS space.

Departures: A2M's code for the DARTS space takes the weight at the number of the step; here it is taken at
that of the epoch, as in beta-DARTS. What is not alive has no say in an edge's maximum, and an edge that is
decided none at all; the mean stays one over all edges, so that the pull on the others stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from raynas.differentiable.parameters import Parameters
from raynas.differentiable.schedule import Coefficient, Linear, Progress, require_not_negative, value
from raynas.spaces import SearchSpace
from raynas.supernets.layout import Alive, Layout

_KINDS = {"normal", "reduce"}


@dataclass(frozen=True)
class Beta:
    """Mean over edges of the log of the sum of exponentials of the logits, summed over kinds of cells.

    Attributes:
        weight: The paper's lambda; it grows by 0.5 an epoch, which is 0 to 50 in its searches of 100 epochs
            and 0 to 25 in 50.
        balance: Share of normal cells, A2M's w: they weigh ``2 * balance``, reduction cells
            ``2 * (1 - balance)``.
    """

    weight: Coefficient = field(default=Linear((0.0, 50.0)))
    balance: float = 0.5

    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}

    def __post_init__(self) -> None:
        require_not_negative(weight=self.weight)
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance: {self.balance} is outside [0, 1]; give 0.5 for equal shares")

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        if self.balance != 0.5 and set(Layout(space).kinds) != _KINDS:
            yield "balance", f"{space.name} has no normal and reduction cells to weigh; leave it at 0.5"

    def penalty(self, logits: Parameters, alive: Alive, progress: Progress) -> Tensor | None:
        """See ``raynas.differentiable.slots.ArchRegularizer``; None where the weight is 0."""
        weight = value(self.weight, progress)
        if weight == 0:
            return None
        shares = {"normal": 2 * self.balance, "reduce": 2 * (1 - self.balance)}
        parts = [
            shares.get(kind, 1.0) * smooth_maximum(rows, torch.tensor(alive[kind], device=rows.device))
            for kind, rows in logits.items()
        ]
        return weight * torch.stack(parts).sum()


def smooth_maximum(rows: Tensor, counts: Tensor) -> Tensor:
    """The penalty of one kind of cell: the mean of its edges' ``log(sum(exp(logits)))``.

    Args:
        rows: ``(edges, columns)`` logits.
        counts: ``(edges, columns)``: which are alive; rows with fewer than two add nothing.

    Returns:
        ``()``.
    """
    undecided = counts.sum(-1) > 1
    open_rows = rows.masked_fill(~counts, -torch.inf)[undecided]
    return torch.logsumexp(open_rows, -1).sum() / len(rows)
