"""One run: a searcher and a scheduler, the facts they decide by, and the journal that keeps the facts.

Every driver (Ray Tune, a simulated cluster, a for-loop) takes work from a ``Run`` and brings back what
happened. Each fact is written to the journal before it takes effect, and a run that was interrupted is this
same object with the journal's facts put in again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from raynas.errors import InputError
from raynas.journal import Journal, Record
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

Status = Literal["pending", "running", "paused", "finished", "failed", "reused"]


@dataclass(slots=True)
class Standing:
    """Where one proposal stands.

    Attributes:
        proposal: What was asked for.
        status: ``reused`` for a proposal that takes an earlier one's outcome.
        epoch: Epochs reported so far; after an exploit, those of the checkpoint that it goes on from.
        checkpoint: Where its last checkpoint lies, relative to the run's folder.
        donor: The proposal that this checkpoint was made by; None: this one.
        outcome: Its last report, or its failure.
    """

    proposal: Proposal
    status: Status = "pending"
    epoch: int = 0
    checkpoint: str | None = None
    donor: int | None = None
    outcome: Outcome | None = None

    @property
    def ended(self) -> bool:
        """Whether its own trial has a result or a failure, and runs no more."""
        return self.status in ("finished", "failed")


@dataclass(frozen=True)
class Assignment:
    """A proposal to run, from its last checkpoint if it has one.

    Attributes:
        proposal: Which.
        checkpoint: Where the checkpoint lies, relative to the run's folder.
        donor: The proposal that made it, where that is another.
    """

    proposal: Proposal
    checkpoint: str | None = None
    donor: int | None = None


@dataclass(frozen=True)
class Counts:
    """How many proposals there are of each kind; the prelude, if there is one, counts only if it failed.

    Attributes:
        nominal: Proposals made, as the papers count budgets.
        unique: Proposals that are or were run; the others take an earlier outcome.
        finished: Unique proposals that ended with a result.
        failed: Unique proposals that ended without one.
    """

    nominal: int = 0
    unique: int = 0
    finished: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that happened to a proposal.

    Attributes:
        proposal_id: Which.
        outcome: A report, or the failure that ended it.
        done: Whether the report was its last.
    """

    proposal_id: int
    outcome: Outcome
    done: bool = False


class Run:
    """The state of a search, and the only place that changes it.

    Args:
        searcher: At its beginning.
        scheduler: At its beginning.
        objective: What the searcher improves.
        journal: Where facts go; one with a true ``knows_reports`` is not told of reports.
        on_event: Called with every fact once it is in the journal.
        clock: Gives the seconds that facts are stamped with.
    """

    def __init__(
        self,
        searcher: Searcher,
        scheduler: Scheduler,
        objective: Objective,
        journal: Journal,
        *,
        on_event: Callable[[Record], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._searcher = searcher
        self._scheduler = scheduler
        self._objective = objective
        self._journal = journal
        self._keeps_reports = not getattr(journal, "knows_reports", False)
        self._on_event = on_event
        self._clock = clock
        self._standings: dict[int, Standing] = {}
        self._first: dict[Any, int] = {}
        self._waiting: dict[int, list[int]] = {}
        share, pool = getattr(searcher, "share", None), getattr(scheduler, "pool", None)
        if share is not None and pool is not None:
            share(pool)
        self._recall: Callable[[str], Proposal] | None = getattr(searcher, "recall", None)
        self._admits: Callable[[], bool] = getattr(scheduler, "admits", lambda: True)
        self._admitted: Callable[[Proposal], None] | None = getattr(scheduler, "admitted", None)
        self._close: Callable[[], None] | None = getattr(scheduler, "closed", None)
        self._resumed: Callable[[int], None] | None = getattr(scheduler, "resumed", None)
        self._failed: Callable[[int], None] | None = getattr(scheduler, "failed", None)
        self._hint: Callable[[int, Report], None] | None = getattr(searcher, "hint", None)
        self._unwritten: list[dict[str, Any]] = []
        self._queue: list[int] = []
        self._paused: dict[int, None] = {}
        self._counts = {"nominal": 0, "unique": 0, "finished": 0, "failed": 0}
        self._live = 0
        self._stopped: set[int] = set()
        self._best: Score | None = None

    @property
    def counts(self) -> Counts:
        """How many proposals there are of each kind."""
        return Counts(**self._counts)

    @property
    def best(self) -> Score | None:
        """The best score so far; of equal ones the earliest proposal's.

        A trial that was stopped on its way counts only while none has come to its end: what it had read by
        then is no match for the others' last reading.
        """
        return self._best

    @property
    def first_failure(self) -> Failure | None:
        """The failure of the earliest proposal that failed; None where none did."""
        outcomes = (standing.outcome for standing in self._standings.values())
        return next((outcome for outcome in outcomes if isinstance(outcome, Failure)), None)

    @property
    def live(self) -> int:
        """Number of proposals handed out and not yet ended or paused."""
        return self._live

    @property
    def paused(self) -> tuple[int, ...]:
        """Ids of the paused proposals, longest paused first."""
        return tuple(self._paused)

    def standing(self, proposal_id: int) -> Standing:
        """Where a proposal stands."""
        return self._standings[proposal_id]

    def take(self, n: int = 1) -> list[Assignment]:
        """Up to ``n`` proposals to run.

        None where outcomes are missing; when nothing is live either, for good, but then ask
        ``next_to_resume`` once more: the scheduler has heard that nobody else is coming.
        """
        taken, self._queue = self._queue[:n], self._queue[n:]
        while len(taken) < n and self._admits() and (proposal := self._searcher.ask()) is not None:
            proposal = self._admit(proposal)
            self._unwritten.append(_proposal_record(proposal))
            if proposal.reuses is None:
                taken.append(proposal.id)
            else:
                self._reuse(proposal)
        self._live += len(taken)
        if not taken and not self._live and self._close is not None and self._admits():
            self._unwritten.append({"kind": "closed"})  # nothing runs, so nothing that was asked for can come
            self._close()
        self._flush()
        for proposal_id in taken:
            self._standings[proposal_id].status = "running"
        return [self.assignment(proposal_id) for proposal_id in taken]

    def report(self, proposal_id: int, report: Report, *, done: bool) -> Decision:
        """A proposal has trained one step more; see ``record``."""
        if done:
            self._require_metric(proposal_id, report)
        decision = self._record_one(proposal_id, report, done=done)
        self._flush()
        return decision

    def fail(self, proposal_id: int, failure: Failure) -> None:
        """A proposal has ended without a result; see ``record``."""
        self.record([Progress(proposal_id, failure, done=True)])

    def record(self, progress: Sequence[Progress]) -> list[Decision]:
        """What happened to some proposals, made durable together.

        An epoch that is already known is ignored, and so is all that comes after a proposal's end: the first
        report counts.

        Returns:
            What becomes of each trial.

        Raises:
            InputError: A last report lacks the objective's metric.
        """
        for item in progress:
            if item.done:
                self._require_metric(item.proposal_id, item.outcome)
        decisions = [self._record_one(item.proposal_id, item.outcome, done=item.done) for item in progress]
        self._flush()
        return decisions

    def decide(self, proposal_id: int, decision: Decision) -> None:
        """Someone else than the run's scheduler has decided on a proposal; its last report is its outcome.

        Nothing becomes of one that has ended or has not reported, nor of a decision that holds already.
        """
        standing = self._standings[proposal_id]
        if _is_news(standing, decision):
            self._unwritten.append(
                {"kind": "decision", "id": proposal_id, "epoch": standing.epoch, "decision": decision}
            )
            self._apply_decision(proposal_id, decision)
            self._flush()

    def note(self, kind: str, **content: Any) -> None:
        """Records a fact that nothing is decided by, such as the beginning of an attempt."""
        self._unwritten.append({"kind": kind, **content})
        self._flush()

    def checkpoint(self, proposal_id: int, epoch: int, path: str) -> None:
        """A checkpoint of a proposal lies at a path relative to the run's folder."""
        self._unwritten.append({"kind": "checkpoint", "id": proposal_id, "epoch": epoch, "path": path})
        self._apply_checkpoint(proposal_id, path)
        self._flush()

    def exploit(
        self, proposal_id: int, *, donor: int, epoch: int, checkpoint: str, config: Mapping[str, Any]
    ) -> Assignment:
        """A proposal goes on from another's checkpoint with other values, and is paused until it does.

        What it reports from then on counts from the checkpoint's epoch, be it behind its own or ahead.

        Args:
            proposal_id: Which; it has not ended.
            donor: The other.
            epoch: Of the checkpoint.
            checkpoint: Path relative to the run's folder.
            config: Values that it takes, by dotted path; the rest of its own stay.
        """
        standing = self._standings[proposal_id]
        if standing.status == "running":
            self._unwritten.append(
                {"kind": "decision", "id": proposal_id, "epoch": standing.epoch, "decision": "pause"}
            )
            self._pause(proposal_id)
        record = {
            "kind": "exploit",
            "id": proposal_id,
            "donor": donor,
            "epoch": epoch,
            "checkpoint": checkpoint,
            "config": dict(config),
        }
        self._unwritten.append(record)
        self._apply_exploit(record)
        self._flush()
        return self.assignment(proposal_id)

    def needed(self, checkpoint: str, *, by_ended: bool) -> bool:
        """Whether any proposal stands on a checkpoint.

        Args:
            checkpoint: Path relative to the run's folder.
            by_ended: Whether one that has ended counts.
        """
        return any(
            standing.checkpoint == checkpoint and (by_ended or not standing.ended)
            for standing in self._standings.values()
        )

    def release(self, proposal_ids: Iterable[int]) -> None:
        """Live proposals whose trial ended before it came to them; they are handed out again."""
        for proposal_id in proposal_ids:
            standing = self._standings[proposal_id]
            if standing.status == "running":
                standing.status = "pending"
                self._queue.append(proposal_id)
                self._live -= 1
        self._queue.sort()

    def next_to_resume(self) -> int | None:
        """The paused proposal that the scheduler wants to go on; None where none should."""
        if not self._paused:
            return None
        return self._scheduler.next_to_run((), self._paused.keys())

    def resume(self, proposal_id: int) -> Assignment:
        """A paused proposal goes on, from its last checkpoint."""
        self._unwritten.append({"kind": "resume", "id": proposal_id})
        self._apply_resume(proposal_id)
        self._flush()
        return self.assignment(proposal_id)

    def assignment(self, proposal_id: int) -> Assignment:
        """A proposal with its last checkpoint."""
        standing = self._standings[proposal_id]
        return Assignment(standing.proposal, standing.checkpoint, standing.donor)

    def replay(self, records: Sequence[Record]) -> None:
        """Puts the facts of an interrupted run in again; to be called once, before anything else.

        Afterwards ``take`` hands out the proposals that were live, oldest first, then new ones.

        Raises:
            InputError: The journal holds what this searcher would not have proposed.
        """
        written = set(map(_name, records))
        for record in records:
            try:
                self._replay_one(record)
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"the journal holds a line that is no fact of this run: {str(record)[:80]} "
                    f"({type(error).__name__}: {error}); restore the file from a copy"
                ) from error
        over = ("finished", "failed", "reused", "paused")
        self._queue = sorted(key for key, standing in self._standings.items() if standing.status not in over)
        self._live = 0
        self._unwritten = [record for record in self._unwritten if _name(record) not in written]
        self._flush()

    def _replay_one(self, record: Record) -> None:
        match record["kind"]:
            case "proposal":
                self._replay_proposal(record)
            case "report":
                report = Report(
                    record["metrics"], record["epoch"], record["cost_s"], record.get("architecture")
                )
                self._apply_report(record["id"], report, done=record["done"])
            case "failure":
                failure = Failure(record["failure"], record["message"], record["epoch"], record["detail"])
                self._apply_failure(record["id"], failure)
            case "checkpoint":
                self._apply_checkpoint(record["id"], record["path"])
            case "exploit":
                self._apply_exploit(record)
            case "resume":
                self._apply_resume(record["id"])
            case "closed":
                if self._close is not None:
                    self._close()
            case "decision":
                # the scheduler's own have taken effect with their reports
                if _is_news(self._standings[record["id"]], record["decision"]):
                    self._apply_decision(record["id"], record["decision"])

    def _replay_proposal(self, record: Record) -> None:
        proposal = self._again(record)
        made = None if proposal is None else _proposal_record(self._admit(proposal))
        if made is None or any(record[key] != value for key, value in made.items()):
            raise InputError(
                f"the journal's proposal {record['id']} is {record['architecture']}, but the configuration "
                f"now gives {made and made['architecture']}: config.yaml was changed, or another version of "
                "raynas made the run; start a new run instead"
            )
        if record["reuses"] is None:
            self._live += 1
        else:
            self._reuse(self._standings[record["id"]].proposal)

    def _again(self, record: Record) -> Proposal | None:
        """What the searcher proposed, or, of one that can be told, what the journal says it did."""
        if self._recall is None:
            return self._searcher.ask()
        return self._recall(record["architecture"])

    def _require_metric(self, proposal_id: int, outcome: Outcome) -> None:
        if not self._standings[proposal_id].proposal.is_prelude:
            self._objective.value(outcome)

    def _record_one(self, proposal_id: int, outcome: Outcome, *, done: bool) -> Decision:
        standing = self._standings[proposal_id]
        if standing.ended:
            return "stop"
        if isinstance(outcome, Failure):
            self._unwritten.append(_failure_record(proposal_id, outcome))
            self._apply_failure(proposal_id, outcome)
            return "stop"
        if outcome.epoch <= standing.epoch and not done:
            # the worker was lost after this report; a trial that was to pause here pauses now
            again = standing.status == "paused" and outcome.epoch == standing.epoch
            return "pause" if again else "continue"
        if self._keeps_reports:
            self._unwritten.append(_report_record(proposal_id, outcome, done=done))
        return self._apply_report(proposal_id, outcome, done=done)

    def _admit(self, proposal: Proposal) -> Proposal:
        if proposal.is_prelude:
            self._standings[proposal.id] = Standing(proposal)
            return proposal
        config = proposal.config
        key = (proposal.architecture, tuple(sorted(config.items())) if config else ())
        first = self._first.setdefault(key, proposal.id)
        self._counts["nominal"] += 1
        if first == proposal.id:
            self._counts["unique"] += 1
            self._standings[proposal.id] = Standing(proposal)
            if self._admitted is not None:
                self._admitted(proposal)
            return proposal
        proposal = replace(proposal, reuses=first)
        self._standings[proposal.id] = Standing(proposal, "reused")
        return proposal

    def _reuse(self, proposal: Proposal) -> None:
        assert proposal.reuses is not None
        earlier = self._standings[proposal.reuses]
        if earlier.ended and earlier.outcome is not None:
            self._tell(proposal.id, earlier.outcome)
        else:
            self._waiting.setdefault(proposal.reuses, []).append(proposal.id)
            if earlier.status == "paused" and isinstance(earlier.outcome, Report):
                self._give_hint(proposal.id, earlier.outcome)

    def _apply_report(self, proposal_id: int, report: Report, *, done: bool) -> Decision:
        standing = self._standings[proposal_id]
        standing.epoch = report.epoch
        standing.outcome = report
        prelude = standing.proposal.is_prelude
        decision = "continue" if prelude else self._scheduler.report(proposal_id, report)
        if decision != "continue" and not done:
            self._unwritten.append(
                {"kind": "decision", "id": proposal_id, "epoch": report.epoch, "decision": decision}
            )
        if decision == "stop" and not done:
            self._stopped.add(proposal_id)
        if done or decision == "stop":
            self._end(proposal_id, report, "finished")
            return "stop"
        if decision == "pause":
            self._pause(proposal_id)
            for key in (proposal_id, *self._waiting.get(proposal_id, ())):
                self._give_hint(key, report)
        return decision

    def _apply_failure(self, proposal_id: int, failure: Failure) -> None:
        if self._failed is not None and not self._standings[proposal_id].proposal.is_prelude:
            self._failed(proposal_id)
        self._end(proposal_id, failure, "failed")

    def _apply_decision(self, proposal_id: int, decision: Decision) -> None:
        outcome = self._standings[proposal_id].outcome
        if decision == "pause":
            self._pause(proposal_id)
        elif outcome is not None:
            self._stopped.add(proposal_id)
            self._end(proposal_id, outcome, "finished")

    def _apply_checkpoint(self, proposal_id: int, path: str) -> None:
        standing = self._standings[proposal_id]
        standing.checkpoint, standing.donor = path, None

    def _apply_exploit(self, record: Record) -> None:
        standing = self._standings[record["id"]]
        config = {**standing.proposal.config, **record["config"]}
        standing.proposal = replace(standing.proposal, config=config)
        standing.epoch, standing.checkpoint = record["epoch"], record["checkpoint"]
        standing.donor = record["donor"]

    def _pause(self, proposal_id: int) -> None:
        self._standings[proposal_id].status = "paused"
        self._paused[proposal_id] = None
        self._live -= 1

    def _apply_resume(self, proposal_id: int) -> None:
        del self._paused[proposal_id]
        if self._resumed is not None:
            self._resumed(proposal_id)
        self._standings[proposal_id].status = "running"
        self._live += 1

    def _end(self, proposal_id: int, outcome: Outcome, status: Literal["finished", "failed"]) -> None:
        standing = self._standings[proposal_id]
        if standing.status == "paused":
            del self._paused[proposal_id]
        else:
            self._live -= 1
        standing.status = status
        standing.outcome = outcome
        if not standing.proposal.is_prelude or status == "failed":
            self._counts[status] += 1
        for key in (proposal_id, *self._waiting.pop(proposal_id, ())):
            self._tell(key, outcome)

    def _give_hint(self, proposal_id: int, report: Report) -> None:
        if self._hint is not None:
            self._hint(proposal_id, report)

    def _tell(self, proposal_id: int, outcome: Outcome) -> None:
        score = self._searcher.tell(proposal_id, outcome)
        if score is None:
            return
        self._unwritten.append(
            {
                "kind": "score",
                "id": score.proposal_id,
                "value": score.value,
                "n": score.n,
                "n_failed": score.n_failed,
            }
        )
        if score.value is None:
            return
        if self._best is None or self._rank(score) < self._rank(self._best):
            self._best = score

    def _rank(self, score: Score) -> tuple[bool, float, int]:
        assert score.value is not None
        stopped = score.proposal_id in self._stopped
        return stopped, self._objective.cost(score.value), score.proposal_id

    def _flush(self) -> None:
        if not self._unwritten:
            return
        now = round(self._clock(), 3)
        records, self._unwritten = self._unwritten, []
        for record in records:
            record["time"] = now
        self._journal.append(records)
        if self._on_event is not None:
            for record in records:
                self._on_event(record)


def _is_news(standing: Standing, decision: Decision) -> bool:
    if standing.ended or standing.outcome is None or decision == "continue":
        return False
    return decision == "stop" or standing.status != "paused"


def _name(record: Record) -> tuple[Any, ...]:
    """What a derived fact is the same by, whether replayed or written before."""
    return record["kind"], record.get("id"), record.get("epoch")


def _proposal_record(proposal: Proposal) -> dict[str, Any]:
    return {
        "kind": "proposal",
        "id": proposal.id,
        "architecture": None if proposal.architecture is None else str(proposal.architecture),
        "config": dict(proposal.config),
        "role": proposal.role,
        "group": proposal.group,
        "reuses": proposal.reuses,
    }


def _report_record(proposal_id: int, report: Report, *, done: bool) -> dict[str, Any]:
    record = {
        "kind": "report",
        "id": proposal_id,
        "epoch": report.epoch,
        "metrics": dict(report.metrics),
        "cost_s": report.cost_s,
        "done": done,
    }
    return record if report.architecture is None else {**record, "architecture": report.architecture}


def _failure_record(proposal_id: int, failure: Failure) -> dict[str, Any]:
    return {
        "kind": "failure",
        "id": proposal_id,
        "failure": failure.kind,
        "message": failure.message,
        "epoch": failure.epoch,
        "detail": failure.detail,
    }
