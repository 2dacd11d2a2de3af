"""Hyperband (Li et al., JMLR 2018, Algorithm 1): successive halving with brackets from bold to cautious.

With ``R`` epochs of a full training and ``s_max`` the greatest s with ``eta ** s <= R``, bracket s starts
``ceil((s_max + 1) / (s + 1) * eta ** s)`` trials at ``R * eta ** -s`` epochs and halves them s times.
Brackets run one after another, s from ``s_max`` to 0, and again for as long as the searcher proposes.

Departures: epochs are whole, so rungs are rounded. A trial goes on from where it paused, so that a bracket
costs less than the paper's ``(s_max + 1) * R`` epochs, which count its training anew at every rung.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raynas.search.asktell import Objective
from raynas.search.scheduler.successive_halving import Bracket, Cohorts, greatest_power, require_halving


@dataclass(frozen=True)
class Hyperband:
    """Cohorts of different sizes in turn, the larger trained more briefly at first.

    Attributes:
        max_epochs: Epochs of a full training, the paper's R.
        eta: One in how many goes on.
    """

    max_epochs: int = 81
    eta: int = 3

    def __post_init__(self) -> None:
        require_halving(self.eta)
        if self.max_epochs < self.eta:
            raise ValueError(
                f"max_epochs: {self.max_epochs} is below eta, so there is no rung; give {self.eta} or more"
            )

    @property
    def brackets(self) -> list[Bracket]:
        """From the boldest to plain search."""
        s_max = greatest_power(self.eta, self.max_epochs)
        return [
            Bracket(
                -(-(s_max + 1) * self.eta**s // (s + 1)),
                tuple(_rounded(self.max_epochs, self.eta**k) for k in range(s, 0, -1)),
            )
            for s in range(s_max, -1, -1)
        ]

    def epoch_problems(self, last_epoch: int) -> Iterator[tuple[str, str]]:
        """What does not go with trials that end at an epoch, as (field, message)."""
        if self.max_epochs != last_epoch:
            yield "max_epochs", f"{self.max_epochs} is not where the workload ends; give {last_epoch}"

    def start(self, objective: Objective) -> Cohorts:
        """A scheduler at its beginning."""
        return Cohorts(self.brackets, self.eta, objective)


def _rounded(dividend: int, divisor: int) -> int:
    """The quotient to the nearest whole number, halves upwards."""
    return (2 * dividend + divisor) // (2 * divisor)
