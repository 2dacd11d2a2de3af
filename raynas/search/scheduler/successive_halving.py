"""Synchronous successive halving (Jamieson & Talwalkar, AISTATS 2016): of a cohort, the best share goes on.

All ``n`` trials of a cohort are trained to the first rung, at ``grace`` epochs. When the last of them has
come there, the best ``n // eta`` go on to the next rung, at ``eta`` times as many epochs, and so on, until
fewer than ``eta`` are left: those train to their end. The others stay paused for good. Then the next cohort
begins, with new trials; nobody ever competes with another cohort.

Departures: the paper gives a cohort a budget and divides it by the number of rungs; as in Hyperband (Li et
al., JMLR 2018, Algorithm 1), the rungs are given here. A trial goes on from where it paused, so that a cohort
costs ``sum(n_i * (r_i - r_(i-1)))`` epochs. Cohorts follow each other for as long as the searcher proposes.
One that the end of the search cuts short is halved as it is, and one of it always goes on. Of equal values
the earlier trial's is the better.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from raynas.ranges import require_positive
from raynas.search.asktell import Decision, Objective, Proposal, Report


@dataclass(frozen=True)
class SuccessiveHalving:
    """Successive halving that waits for a rung to fill, cohort after cohort.

    Attributes:
        n: Trials of a cohort.
        eta: One in how many goes on.
        grace: Epochs of the first rung.
    """

    n: int = 27
    eta: int = 3
    grace: int = 1

    def __post_init__(self) -> None:
        require_positive(grace=self.grace)
        require_halving(self.eta)
        if self.n < self.eta:
            raise ValueError(f"n: {self.n} is below eta, so nothing would be halved; give {self.eta} or more")

    @property
    def bracket(self) -> Bracket:
        """Every cohort's."""
        n_rungs = greatest_power(self.eta, self.n)
        return Bracket(self.n, tuple(self.grace * self.eta**rung for rung in range(n_rungs)))

    def epoch_problems(self, last_epoch: int) -> Iterator[tuple[str, str]]:
        """What does not go with trials that end at an epoch, as (field, message)."""
        if (highest := self.bracket.rungs[-1]) > last_epoch:
            yield (
                "n",
                f"{self.n} trials are halved up to epoch {highest}, and the workload ends at {last_epoch}; "
                "give fewer, a smaller grace or a smaller eta",
            )

    def start(self, objective: Objective) -> Cohorts:
        """A scheduler at its beginning."""
        return Cohorts([self.bracket], self.eta, objective)


@dataclass(frozen=True)
class Bracket:
    """How one cohort is halved.

    Attributes:
        n: Its trials.
        rungs: Epochs at which it is, ascending; whoever goes on from the last trains to the end.
    """

    n: int
    rungs: tuple[int, ...]


class Cohorts:
    """One cohort at a time, of brackets that take turns; who has left the last rung trains beside the next.

    Args:
        brackets: In their order; after the last comes the first again.
        eta: One in how many goes on.
        objective: What trials are compared by.
    """

    def __init__(self, brackets: Sequence[Bracket], eta: int, objective: Objective) -> None:
        self._eta, self._objective = eta, objective
        self._decisions = sorted({rung for bracket in brackets for rung in bracket.rungs})
        self._brackets = cycle(brackets)
        self._due: deque[int] = deque()
        self._closed = False
        self._open()

    def report(self, trial_id: int, report: Report) -> Decision:
        """See ``Scheduler.report``."""
        if trial_id not in self._awaited or report.epoch < self._bracket.rungs[self._rung]:
            return "continue"
        self._awaited.remove(trial_id)
        value = self._objective.value(report)
        cost = math.inf if value is None else self._objective.cost(value)
        self._arrived.append((cost, trial_id, report.epoch))
        self._go_on()
        return "pause"

    def next_decision(self, epoch: int) -> int | None:
        """See ``Scheduler``."""
        return next((rung for rung in self._decisions if rung > epoch), None)

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        """See ``Scheduler.next_to_run``."""
        while self._due and self._due[0] not in paused:
            self._due.popleft()  # its training was over at the rung
        return self._due[0] if self._due else None

    def admits(self) -> bool:
        """Whether a new trial may begin now."""
        return self._room > 0

    def admitted(self, proposal: Proposal) -> None:
        """A new trial begins."""
        self._room -= 1
        self._n += 1
        if self._bracket.rungs:
            self._awaited.add(proposal.id)
        self._go_on()

    def closed(self) -> None:
        """Nobody else is coming: the cohort is as large as it is."""
        self._closed = True
        self._room = 0
        self._go_on()

    def resumed(self, trial_id: int) -> None:
        """A paused trial goes on."""
        self._due.remove(trial_id)

    def failed(self, trial_id: int) -> None:
        """A trial has ended without a result: its place goes to the next."""
        self._awaited.discard(trial_id)
        self._go_on()

    def _open(self) -> None:
        """The next cohort."""
        self._bracket = next(self._brackets)
        self._room, self._n, self._rung = self._bracket.n, 0, 0
        self._awaited: set[int] = set()
        self._arrived: list[tuple[float, int, int]] = []

    def _go_on(self) -> None:
        """Once all that were awaited are there: the best go on, or the next cohort begins."""
        while not self._awaited and not self._room:
            if self._rung < len(self._bracket.rungs):
                self._halve()
            elif self._closed:
                return
            else:
                self._open()

    def _halve(self) -> None:
        self._rung += 1
        best = sorted(self._arrived)[: max(1, self._n // self._eta**self._rung)]
        next_rung = next(iter(self._bracket.rungs[self._rung :]), math.inf)
        # a trial that reports rarely may be beyond the next rung already
        self._arrived = [arrival for arrival in best if arrival[2] >= next_rung]
        going = [trial_id for _, trial_id, epoch in best if epoch < next_rung]
        self._due.extend(going)
        if next_rung < math.inf:
            self._awaited.update(going)


def greatest_power(base: int, number: int) -> int:
    """The greatest k with ``base ** k <= number``; a logarithm that floating point cannot get wrong."""
    k = 0
    while base ** (k + 1) <= number:
        k += 1
    return k


def require_halving(eta: int) -> None:
    """Refuses a share that is no share.

    Raises:
        ValueError: Everybody would go on.
    """
    if eta < 2:
        raise ValueError(f"eta: {eta} is below 2, so every trial would go on; give 2 or more")
