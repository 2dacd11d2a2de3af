"""Non-uniform successive halving (NOSH; RANK-NOSH, Wang et al. 2021): a pyramid that discards nobody.

Architectures are admitted in batches and trained to the first level's epochs. Of ``P`` admitted, at least
``ceil(P * r ** (i - 1))`` must have reached level i: after each batch, level by level from below, the best of
those that wait on a level go on to the next until the quota is met. The others stay paused, and compete again
after every batch. Who reaches the last level has finished.

Departures: the paper gives levels and ratio, not how to round; the quota rule is ours. ``asynchronous`` has
no barriers: whenever a slot is free, the highest level whose quota (of those that have come to the first
level) is not met is served, and only then is a new architecture admitted, as in ASHA.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from raynas.ranges import require_positive
from raynas.search.asktell import Decision, Objective, Proposal, Report
from raynas.search.pool import Member, Pool


@dataclass(frozen=True)
class Nosh:
    """Levels, and how many architectures reach each.

    Attributes:
        levels: Epochs of the levels, increasing; the trainings' schedule should be as long as the last.
        r: Share of a level that the next one has room for.
        n_first: Architectures of the first batch.
        n_batch: Architectures of every later batch.
        n_pool: Architectures in all.
        mode: ``synchronous``: results do not depend on how many trials run at once; ``asynchronous``: no
            trial waits for another.
    """

    levels: tuple[int, ...] = (10, 50, 100, 200)
    r: float = 0.5
    n_first: int = 20
    n_batch: int = 10
    n_pool: int = 100
    mode: Literal["synchronous", "asynchronous"] = "synchronous"

    def __post_init__(self) -> None:
        require_positive(n_first=self.n_first, n_batch=self.n_batch)
        if not self.levels or any(a >= b for a, b in pairwise((0, *self.levels))):
            raise ValueError(
                f"levels: {list(self.levels)} must be epochs that increase, such as [10, 50, 100, 200]"
            )
        if not 0 < self.r <= 1:
            raise ValueError(f"r: {self.r} is outside (0, 1]; give the share that goes on, such as 0.5")
        if self.n_pool < self.n_first:
            raise ValueError(
                f"n_pool: {self.n_pool} is less than the first batch of {self.n_first}; give at least that"
            )

    def epoch_problems(self, last_epoch: int) -> Iterator[tuple[str, str]]:
        """What does not go with trials that end at an epoch, as (field, message)."""
        if self.levels[-1] > last_epoch:
            yield (
                "levels",
                f"the last level is at epoch {self.levels[-1]}, and the workload ends at {last_epoch}; "
                f"let the levels end at {last_epoch}",
            )

    def start(self, objective: Objective) -> Pyramid:
        """A pyramid with nobody in it."""
        return (_Synchronous if self.mode == "synchronous" else _Asynchronous)(self, objective)


class Pyramid:
    """What both modes share: who waits on which level, and how many have come there.

    Attributes:
        pool: Everybody.
    """

    def __init__(self, settings: Nosh, objective: Objective) -> None:
        self.pool = Pool()
        self._settings, self._objective = settings, objective
        n_levels = len(settings.levels)
        self._reached = [0] * n_levels  # members at this level or above
        self._waiting: list[list[tuple[float, int]]] = [[] for _ in range(n_levels)]
        self._shares = [Fraction(str(settings.r)) ** level for level in range(n_levels)]

    def report(self, trial_id: int, report: Report) -> Decision:
        """See ``Scheduler.report``."""
        member = self.pool.members[trial_id]
        level = sum(epochs <= report.epoch for epochs in self._settings.levels)
        if level <= member.level:
            return "continue"
        value = self._objective.value(report)
        member.cost = math.inf if value is None else self._objective.cost(value)
        for passed in range(member.level, level):
            self._reached[passed] += 1
        member.level = level
        last = level == len(self._settings.levels)
        if not last:
            heapq.heappush(self._waiting[level - 1], (member.cost, trial_id))
        self._arrived(trial_id)
        return "stop" if last else "pause"

    def next_decision(self, epoch: int) -> int | None:
        """See ``Scheduler``."""
        return next((level for level in self._settings.levels if level > epoch), None)

    def admits(self) -> bool:
        """Whether a new trial may begin now."""
        return self.pool.room > 0

    def admitted(self, proposal: Proposal) -> None:
        """A new trial begins."""
        self.pool.members[proposal.id] = Member(proposal.architecture)
        self.pool.room -= 1

    def failed(self, trial_id: int) -> None:
        """A trial has ended without a result: it goes no further, and its place on the next level is free."""
        member = self.pool.members[trial_id]
        member.failed, member.cost = True, math.inf
        self._arrived(trial_id)

    def resumed(self, trial_id: int) -> None:
        """A paused trial goes on."""
        raise NotImplementedError

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        """See ``Scheduler.next_to_run``."""
        raise NotImplementedError

    def _arrived(self, trial_id: int) -> None:
        """A trial has reached a level, or ended."""

    def _quota(self, n_members: int, level: int) -> int:
        """Members that must have come to a level; 0 is the first."""
        return math.ceil(n_members * self._shares[level])


class _Synchronous(Pyramid):
    def __init__(self, settings: Nosh, objective: Objective) -> None:
        super().__init__(settings, objective)
        self.pool.room = self.pool.batch = settings.n_first
        self._awaited: set[int] = set()
        self._due: deque[int] = deque()
        self._level = 1
        self._closed = False

    def admitted(self, proposal: Proposal) -> None:
        super().admitted(proposal)
        self._awaited.add(proposal.id)

    def closed(self) -> None:
        """Nobody else is coming: the batch is as large as it is."""
        self._closed = True
        self.pool.room = 0
        self._go_on()

    def resumed(self, trial_id: int) -> None:
        self._due.remove(trial_id)

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        return self._due[0] if self._due else None

    def _arrived(self, trial_id: int) -> None:
        self._awaited.discard(trial_id)
        self._go_on()

    def _go_on(self) -> None:
        """Once all that were awaited are there: the next level's promotions, or the next batch."""
        if self._awaited or self.pool.room:
            return
        while self._level < len(self._settings.levels):
            lacking = self._quota(len(self.pool), self._level) - self._reached[self._level]
            waiting = self._waiting[self._level - 1]
            due = [heapq.heappop(waiting)[1] for _ in range(min(lacking, len(waiting)))]
            if due:
                self._due.extend(due)
                self._awaited.update(due)
                return
            self._level += 1
        if not self._closed:
            self._level = 1
            self.pool.room = min(self._settings.n_batch, self._settings.n_pool - len(self.pool))
            self.pool.batch = self.pool.room


class _Asynchronous(Pyramid):
    def __init__(self, settings: Nosh, objective: Objective) -> None:
        super().__init__(settings, objective)
        self.pool.room, self.pool.batch = settings.n_pool, settings.n_first
        self._begun = [0] * len(settings.levels)  # members at this level or above, or on their way to it

    def admitted(self, proposal: Proposal) -> None:
        super().admitted(proposal)
        if len(self.pool) == self._settings.n_first:
            self.pool.batch = self._settings.n_batch

    def resumed(self, trial_id: int) -> None:
        member = self.pool.members[trial_id]
        waiting = self._waiting[member.level - 1]
        if waiting[0][1] == trial_id:
            heapq.heappop(waiting)
        else:  # another has come since it was chosen
            waiting.remove((member.cost, trial_id))
            heapq.heapify(waiting)
        self._begun[member.level] += 1

    def failed(self, trial_id: int) -> None:
        level = self.pool.members[trial_id].level
        super().failed(trial_id)
        if level:
            self._begun[level] -= 1

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        for level in range(len(self._settings.levels) - 1, 0, -1):
            waiting = self._waiting[level - 1]
            if waiting and self._begun[level] < self._quota(self._reached[0], level):
                return waiting[0][1]
        return None
