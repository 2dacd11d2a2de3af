"""What the facts of a search have come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from raynas.search import facts
from raynas.search.asktell import (
    Decision,
    Failure,
    Objective,
    Outcome,
    Proposal,
    Report,
    Scheduler,
    Score,
    Searcher,
)
from raynas.search.standing import Assignment, Counts, Standing


class State:
    """Where every proposal stands, and the only place that changes it.

    A fact takes effect by the method ``apply_...`` of its kind, when it happens and again when it is
    replayed, and here alone the searcher and the scheduler hear of it. Who has been handed what is no fact:
    it ends with the process.

    Attributes:
        standings: By proposal id, in the order of the proposals.
        live: Number of proposals handed out and not yet ended or paused.
        paused: Ids of the paused proposals, longest paused first; no values.

    Args:
        searcher: At its beginning.
        scheduler: At its beginning.
        objective: What the searcher improves.
        derive: Called with each fact that follows from another: the scheduler's decisions, and scores.
    """

    def __init__(
        self,
        searcher: Searcher,
        scheduler: Scheduler,
        objective: Objective,
        *,
        derive: Callable[[dict[str, Any]], None],
    ) -> None:
        self.standings: dict[int, Standing] = {}
        self.live = 0
        self.paused: dict[int, None] = {}
        self._searcher, self._scheduler, self._objective = searcher, scheduler, objective
        self._derive = derive
        self._first: dict[Any, int] = {}
        self._waiting: dict[int, list[int]] = {}
        self._queue: list[int] = []
        self._counts = {"nominal": 0, "unique": 0, "finished": 0, "failed": 0}
        self._stopped: set[int] = set()
        self._best: tuple[tuple[bool, float, int], Score] | None = None
        share, pool = getattr(searcher, "share", None), getattr(scheduler, "pool", None)
        if share is not None and pool is not None:
            share(pool)
        self._recall: Callable[[str], Proposal] | None = getattr(searcher, "recall", None)
        self._hint: Callable[[int, Report], None] | None = getattr(searcher, "hint", None)
        self._admits: Callable[[], bool] = getattr(scheduler, "admits", lambda: True)
        self._admitted: Callable[[Proposal], None] | None = getattr(scheduler, "admitted", None)
        self._close: Callable[[], None] | None = getattr(scheduler, "closed", None)
        self._resumed: Callable[[int], None] | None = getattr(scheduler, "resumed", None)
        self._failed: Callable[[int], None] | None = getattr(scheduler, "failed", None)

    @property
    def counts(self) -> Counts:
        """How many proposals there are of each kind."""
        return Counts(**self._counts)

    @property
    def best(self) -> Score | None:
        """The best score so far; see ``raynas.search.run.Run.best``."""
        return None if self._best is None else self._best[1]

    @property
    def closes(self) -> bool:
        """Whether the scheduler waits for somebody new, and nothing that runs may yet bring one."""
        return not self.live and self._close is not None and self._admits()

    def ask(self) -> Proposal | None:
        """The searcher's next proposal, if the scheduler admits one; it is to be applied before the next."""
        proposal = self._searcher.ask() if self._admits() else None
        return None if proposal is None else self._recognised(proposal)

    def ask_again(self, architecture: str) -> Proposal | None:
        """What the searcher proposed, or, of one that can be told, what the journal says it did."""
        proposal = self._searcher.ask() if self._recall is None else self._recall(architecture)
        return None if proposal is None else self._recognised(proposal)

    def next_to_resume(self) -> int | None:
        """The paused proposal that the scheduler wants to go on; None where none should."""
        return self._scheduler.next_to_run((), self.paused.keys()) if self.paused else None

    def take_back(self, proposal_ids: Iterable[int]) -> None:
        """Nobody works on some proposals any more; those that were live are to be handed out again."""
        for proposal_id in proposal_ids:
            standing = self.standings[proposal_id]
            if standing.status == "running":
                standing.status = "pending"
                self._queue.append(proposal_id)
                self.live -= 1
        self._queue.sort()

    def take_back_all(self) -> None:
        """Nobody works on anything: the process that all was handed out by is gone."""
        over = ("finished", "failed", "reused", "paused")
        self._queue = sorted(key for key, standing in self.standings.items() if standing.status not in over)
        self.live = 0

    def take_queued(self, n: int) -> list[int]:
        """Up to ``n`` of the proposals that are to be handed out again, earliest first; live from now on."""
        if not self._queue:
            return []
        taken, self._queue = self._queue[:n], self._queue[n:]
        self.live += len(taken)
        return taken

    def hand_out(self, proposal_id: int) -> Assignment:
        """Somebody works on a live proposal from now on."""
        self.standings[proposal_id].status = "running"
        return self.assignment(proposal_id)

    def assignment(self, proposal_id: int) -> Assignment:
        """A proposal with its last checkpoint."""
        standing = self.standings[proposal_id]
        return Assignment(standing.proposal, standing.checkpoint, standing.donor)

    def apply_proposal(self, proposal: Proposal) -> None:
        """The searcher's proposal is to be run, and live, or takes an earlier one's outcome."""
        if proposal.reuses is not None:
            self._counts["nominal"] += 1
            self.standings[proposal.id] = Standing(proposal, "reused")
            self._reuse(proposal.id, proposal.reuses)
            return
        self.standings[proposal.id] = Standing(proposal)
        self.live += 1
        if proposal.is_prelude:
            return
        self._counts["nominal"] += 1
        self._counts["unique"] += 1
        if self._admitted is not None:
            self._admitted(proposal)

    def apply_report(self, proposal_id: int, report: Report, *, done: bool) -> Decision:
        """A proposal has trained one step more; gives what becomes of its trial."""
        standing = self.standings[proposal_id]
        standing.epoch = report.epoch
        standing.outcome = report
        prelude = standing.proposal.is_prelude
        decision = "continue" if prelude else self._scheduler.report(proposal_id, report)
        if decision != "continue" and not done:
            self._derive(facts.of_decision(proposal_id, report.epoch, decision))
        if decision == "stop" and not done:
            self._stopped.add(proposal_id)
        if done or decision == "stop":
            self._end(proposal_id, report, "finished")
            return "stop"
        if decision == "pause":
            self._pause(proposal_id)
            if self._hint is not None:
                for key in (proposal_id, *self._waiting.get(proposal_id, ())):
                    self._hint(key, report)
        return decision

    def apply_failure(self, proposal_id: int, failure: Failure) -> None:
        """A proposal has ended without a result."""
        if self._failed is not None and not self.standings[proposal_id].proposal.is_prelude:
            self._failed(proposal_id)
        self._end(proposal_id, failure, "failed")

    def apply_decision(self, proposal_id: int, decision: Decision) -> None:
        """Someone else than the scheduler has had a trial pause or stop; its last report is its outcome."""
        outcome = self.standings[proposal_id].outcome
        if decision == "pause":
            self._pause(proposal_id)
        elif outcome is not None:
            self._stopped.add(proposal_id)
            self._end(proposal_id, outcome, "finished")

    def apply_checkpoint(self, proposal_id: int, path: str) -> None:
        """A proposal has a checkpoint of its own."""
        standing = self.standings[proposal_id]
        standing.checkpoint, standing.donor = path, None

    def apply_exploit(
        self, proposal_id: int, *, donor: int, epoch: int, checkpoint: str, config: Mapping[str, Any]
    ) -> None:
        """A proposal goes on from another's checkpoint with other values."""
        standing = self.standings[proposal_id]
        config = {**standing.proposal.config, **config}
        standing.proposal = replace(standing.proposal, config=config)
        standing.epoch, standing.checkpoint, standing.donor = epoch, checkpoint, donor

    def apply_resume(self, proposal_id: int) -> None:
        """A paused proposal goes on."""
        del self.paused[proposal_id]
        if self._resumed is not None:
            self._resumed(proposal_id)
        self.standings[proposal_id].status = "running"
        self.live += 1

    def apply_closing(self) -> None:
        """Nobody new is coming."""
        if self._close is not None:
            self._close()

    def _recognised(self, proposal: Proposal) -> Proposal:
        """A proposal with the earlier one of the same content; if there is none, later ones have this one."""
        if proposal.is_prelude:
            return proposal
        config = proposal.config
        content = (proposal.architecture, tuple(sorted(config.items())) if config else ())
        first = self._first.setdefault(content, proposal.id)
        return proposal if first == proposal.id else replace(proposal, reuses=first)

    def _reuse(self, proposal_id: int, first: int) -> None:
        earlier = self.standings[first]
        if earlier.ended and earlier.outcome is not None:
            self._tell(proposal_id, earlier.outcome)
        else:
            self._waiting.setdefault(first, []).append(proposal_id)
            if self._hint is not None and earlier.status == "paused" and isinstance(earlier.outcome, Report):
                self._hint(proposal_id, earlier.outcome)

    def _pause(self, proposal_id: int) -> None:
        self.standings[proposal_id].status = "paused"
        self.paused[proposal_id] = None
        self.live -= 1

    def _end(self, proposal_id: int, outcome: Outcome, status: Literal["finished", "failed"]) -> None:
        standing = self.standings[proposal_id]
        if standing.status == "paused":
            del self.paused[proposal_id]
        else:
            self.live -= 1
        standing.status = status
        standing.outcome = outcome
        if not standing.proposal.is_prelude or status == "failed":
            self._counts[status] += 1
        self._tell(proposal_id, outcome)
        for key in self._waiting.pop(proposal_id, ()):
            self._tell(key, outcome)

    def _tell(self, proposal_id: int, outcome: Outcome) -> None:
        score = self._searcher.tell(proposal_id, outcome)
        if score is None:
            return
        self._derive(facts.of_score(score))
        if score.value is None:
            return
        stopped = score.proposal_id in self._stopped
        rank = stopped, self._objective.cost(score.value), score.proposal_id
        if self._best is None or rank < self._best[0]:
            self._best = rank, score
