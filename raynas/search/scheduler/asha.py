"""Asynchronous successive halving (ASHA; Li et al., MLSys 2020), by promotion (Algorithm 2) or by stopping.

The rungs are at ``grace`` epochs, ``grace * eta``, ``grace * eta**2`` and so on. By promotion, a trial
pauses at every rung, and goes on once it is among the best ``1 / eta`` of those that have come there; the
highest rung is served first. By stopping, a trial goes on at once if it is among the best ``1 / eta`` of
those who have come there so far, itself included, and is stopped for good if not.

Departures: of equal values the earlier is the better, so that decisions do not hang on a sort. While fewer
than ``eta`` trials have come to a rung, stopping lets the best so far go on, where promotion waits.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from raynas.ranges import require_positive
from raynas.search.asktell import Decision, Objective, Report


@dataclass(frozen=True)
class Asha:
    """Successive halving that never waits for a rung to fill.

    Attributes:
        eta: One in how many goes on.
        grace: Epochs of the first rung.
        variant: ``promotion``: trials pause and may go on later; ``stopping``: they end or go on at once.
    """

    eta: int = 3
    grace: int = 1
    variant: Literal["promotion", "stopping"] = "promotion"

    def __post_init__(self) -> None:
        require_positive(grace=self.grace)
        if self.eta < 2:
            raise ValueError(f"eta: {self.eta} is below 2, so every trial would go on; give 2 or more")

    def start(self, objective: Objective) -> _Promotion | _Stopping:
        """A scheduler at its beginning."""
        rungs = _Rungs(self.grace, self.eta)
        return (_Promotion if self.variant == "promotion" else _Stopping)(rungs, objective)


class _Rungs:
    """Where the rungs are, and who has come to them."""

    def __init__(self, grace: int, eta: int) -> None:
        self.grace, self.eta = grace, eta
        self.reached: list[_Rung] = []
        self._height: dict[int, int] = {}

    def next_decision(self, epoch: int) -> int:
        """Epoch of the first rung above."""
        rung = self.grace
        while rung <= epoch:
            rung *= self.eta
        return rung

    def arrived(self, trial_id: int, epoch: int) -> _Rung | None:
        """The rung that a report is the trial's first at or above of; None between rungs."""
        passed, rung = 0, self.grace
        while rung <= epoch:
            passed, rung = passed + 1, rung * self.eta
        if passed <= self._height.get(trial_id, 0):
            return None
        self._height[trial_id] = passed
        while len(self.reached) < passed:
            self.reached.append(_Rung(self.eta))
        return self.reached[passed - 1]

    def promotable(self, paused: Collection[int]) -> int | None:
        """The trial to go on: the best on the highest rung that has one."""
        for height in range(len(self.reached), 0, -1):
            rung = self.reached[height - 1]
            while (trial_id := rung.candidate()) is not None:
                if trial_id in paused and self._height[trial_id] == height:
                    return trial_id
                rung.drop_candidate()  # it has gone on
        return None


class _Rung:
    """The values of the trials that have come to a rung, parted into the best ``1 / eta`` and the rest.

    Heaps keep the parting, so an arrival takes O(log n).
    """

    def __init__(self, eta: int) -> None:
        self._eta = eta
        self._n = 0
        self._best: list[tuple[float, int, int]] = []  # the worst of them first: both parts negated
        self._rest: list[tuple[float, int, int]] = []  # the best of them first
        self._among_best: set[int] = set()
        self._candidates: list[tuple[float, int, int]] = []

    def add(self, trial_id: int, cost: float) -> None:
        if self._best and cost < -self._best[0][0]:
            self._enter(cost, self._n, trial_id)
            worst_cost, worst_order, out = heapq.heappop(self._best)
            self._among_best.remove(out)
            heapq.heappush(self._rest, (-worst_cost, -worst_order, out))
        else:
            heapq.heappush(self._rest, (cost, self._n, trial_id))
        self._n += 1
        if len(self._best) < self._n // self._eta:
            self._enter(*heapq.heappop(self._rest))

    def _enter(self, cost: float, order: int, trial_id: int) -> None:
        heapq.heappush(self._best, (-cost, -order, trial_id))
        self._among_best.add(trial_id)
        heapq.heappush(self._candidates, (cost, order, trial_id))

    def is_among_best(self, trial_id: int) -> bool:
        return trial_id in self._among_best

    def is_first(self, trial_id: int) -> bool:
        """Whether a trial is the very best while too few have come for a share."""
        return not self._best and self._rest[0][2] == trial_id

    def candidate(self) -> int | None:
        """The best of the best share that was not dropped."""
        while self._candidates:
            trial_id = self._candidates[0][2]
            if trial_id in self._among_best:
                return trial_id
            heapq.heappop(self._candidates)  # should it come back, then with an entry of its own
        return None

    def drop_candidate(self) -> None:
        """Passes over the one that ``candidate`` gave, for good."""
        heapq.heappop(self._candidates)


class _Halving:
    def __init__(self, rungs: _Rungs, objective: Objective) -> None:
        self._rungs, self._objective = rungs, objective

    def next_decision(self, epoch: int) -> int | None:
        return self._rungs.next_decision(epoch)


class _Promotion(_Halving):
    def report(self, trial_id: int, report: Report) -> Decision:
        rung = self._rungs.arrived(trial_id, report.epoch)
        if rung is None:
            return "continue"
        rung.add(trial_id, _cost(self._objective, report))
        return "pause"

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        return self._rungs.promotable(paused)


class _Stopping(_Halving):
    def report(self, trial_id: int, report: Report) -> Decision:
        rung = self._rungs.arrived(trial_id, report.epoch)
        if rung is None:
            return "continue"
        rung.add(trial_id, _cost(self._objective, report))
        return "continue" if rung.is_among_best(trial_id) or rung.is_first(trial_id) else "stop"

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        return next(iter(paused), None)


def _cost(objective: Objective, report: Report) -> float:
    value = objective.value(report)
    return math.inf if value is None else objective.cost(value)
