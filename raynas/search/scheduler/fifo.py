"""First in, first out: every trial runs to its end, in the order of the proposals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from raynas.search.asktell import Decision, Objective, Report


@dataclass(frozen=True)
class Fifo:
    """Stops nothing and pauses nothing."""

    def start(self, objective: Objective) -> _FifoScheduler:
        """A scheduler at its beginning."""
        return _FifoScheduler()


class _FifoScheduler:
    def report(self, trial_id: int, report: Report) -> Decision:
        return "continue"

    def next_decision(self, epoch: int) -> int | None:
        return None

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        return next(iter(paused), None)
