"""One run: a searcher and a scheduler, the facts they decide by, and the journal that keeps the facts.

Every driver (Ray Tune, a simulated cluster, a for-loop) takes work from a ``Run`` and brings back what
happened. Each fact is written to the journal before it takes effect, and a run that was interrupted is this
same object with the journal's facts put in again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from raynas.errors import InputError
from raynas.journal import Journal, Record
from raynas.search import facts
from raynas.search.asktell import (
    Decision,
    Failure,
    Objective,
    Outcome,
    Report,
    Scheduler,
    Score,
    Searcher,
)
from raynas.search.standing import Assignment, Counts, Progress, Standing
from raynas.search.state import State


class Run:
    """What the drivers of a search call: each fact goes to the journal, and changes the state.

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
        self._objective = objective
        self._journal = journal
        self._keeps_reports = not getattr(journal, "knows_reports", False)
        self._on_event = on_event
        self._clock = clock
        self._unwritten: list[dict[str, Any]] = []
        self._write = self._unwritten.append
        self._state = State(searcher, scheduler, objective, derive=self._write)

    @property
    def counts(self) -> Counts:
        """How many proposals there are of each kind."""
        return self._state.counts

    @property
    def best(self) -> Score | None:
        """The best score so far; of equal ones the earliest proposal's.

        A trial that was stopped on its way counts only while none has come to its end: what it had read by
        then is no match for the others' last reading.
        """
        return self._state.best

    @property
    def first_failure(self) -> Failure | None:
        """The failure of the earliest proposal that failed; None where none did."""
        outcomes = (standing.outcome for standing in self._state.standings.values())
        return next((outcome for outcome in outcomes if isinstance(outcome, Failure)), None)

    @property
    def live(self) -> int:
        """Number of proposals handed out and not yet ended or paused."""
        return self._state.live

    @property
    def paused(self) -> tuple[int, ...]:
        """Ids of the paused proposals, longest paused first."""
        return tuple(self._state.paused)

    def standing(self, proposal_id: int) -> Standing:
        """Where a proposal stands."""
        return self._state.standings[proposal_id]

    def assignment(self, proposal_id: int) -> Assignment:
        """A proposal with its last checkpoint."""
        return self._state.assignment(proposal_id)

    def needed(self, checkpoint: str, *, by_ended: bool) -> bool:
        """Whether any proposal stands on a checkpoint.

        Args:
            checkpoint: Path relative to the run's folder.
            by_ended: Whether one that has ended counts.
        """
        return any(
            standing.checkpoint == checkpoint and (by_ended or not standing.ended)
            for standing in self._state.standings.values()
        )

    def take(self, n: int = 1) -> list[Assignment]:
        """Up to ``n`` proposals to run.

        None where outcomes are missing; when nothing is live either, for good, but then ask
        ``next_to_resume`` once more: the scheduler has heard that nobody else is coming.
        """
        state = self._state
        taken = state.take_queued(n)
        while len(taken) < n and (proposal := state.ask()) is not None:
            self._write(facts.of_proposal(proposal))
            state.apply_proposal(proposal)
            if proposal.reuses is None:
                taken.append(proposal.id)
        if not taken and state.closes:
            self._write(facts.of_closing())
            state.apply_closing()
        self._flush()
        return [state.hand_out(proposal_id) for proposal_id in taken]

    def release(self, proposal_ids: Iterable[int]) -> None:
        """Live proposals whose trial ended before it came to them; they are handed out again."""
        self._state.take_back(proposal_ids)

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
        standing = self._state.standings[proposal_id]
        if standing.would_change(decision):
            self._write(facts.of_decision(proposal_id, standing.epoch, decision))
            self._state.apply_decision(proposal_id, decision)
            self._flush()

    def note(self, kind: str, **content: Any) -> None:
        """Records a fact that nothing is decided by, such as the beginning of an attempt."""
        self._write({"kind": kind, **content})
        self._flush()

    def checkpoint(self, proposal_id: int, epoch: int, path: str) -> None:
        """A checkpoint of a proposal lies at a path relative to the run's folder."""
        self._write(facts.of_checkpoint(proposal_id, epoch, path))
        self._state.apply_checkpoint(proposal_id, path)
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
        state = self._state
        standing = state.standings[proposal_id]
        if standing.status == "running":
            self._write(facts.of_decision(proposal_id, standing.epoch, "pause"))
            state.apply_decision(proposal_id, "pause")
        how: dict[str, Any] = {"donor": donor, "epoch": epoch, "checkpoint": checkpoint, "config": config}
        self._write(facts.of_exploit(proposal_id, **how))
        state.apply_exploit(proposal_id, **how)
        self._flush()
        return state.assignment(proposal_id)

    def next_to_resume(self) -> int | None:
        """The paused proposal that the scheduler wants to go on; None where none should."""
        return self._state.next_to_resume()

    def resume(self, proposal_id: int) -> Assignment:
        """A paused proposal goes on, from its last checkpoint."""
        self._write(facts.of_resume(proposal_id))
        self._state.apply_resume(proposal_id)
        self._flush()
        return self._state.assignment(proposal_id)

    def replay(self, records: Sequence[Record]) -> None:
        """Puts the facts of an interrupted run in again; to be called once, before anything else.

        Afterwards ``take`` hands out the proposals that were live, oldest first, then new ones.

        Raises:
            InputError: The journal holds what this searcher would not have proposed.
        """
        written = set(map(facts.identity, records))
        for record in records:
            try:
                self._replay_one(record)
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"the journal holds a line that is no fact of this run: {str(record)[:80]} "
                    f"({type(error).__name__}: {error}); restore the file from a copy"
                ) from error
        self._state.take_back_all()
        self._unwritten[:] = [record for record in self._unwritten if facts.identity(record) not in written]
        self._flush()

    def _replay_one(self, record: Record) -> None:
        state = self._state
        match record["kind"]:
            case "proposal":
                self._replay_proposal(record)
            case "report":
                state.apply_report(record["id"], facts.report_in(record), done=record["done"])
            case "failure":
                state.apply_failure(record["id"], facts.failure_in(record))
            case "checkpoint":
                state.apply_checkpoint(record["id"], record["path"])
            case "exploit":
                state.apply_exploit(record["id"], **facts.exploit_in(record))
            case "resume":
                state.apply_resume(record["id"])
            case "closed":
                state.apply_closing()
            case "decision":
                # the scheduler's own have taken effect with their reports
                if state.standings[record["id"]].would_change(record["decision"]):
                    state.apply_decision(record["id"], record["decision"])

    def _replay_proposal(self, record: Record) -> None:
        proposal = self._state.ask_again(record["architecture"])
        if proposal is None or not facts.tells_of(record, proposal):
            raise InputError(
                f"the journal's proposal {record['id']} is {record['architecture']}, but the configuration "
                f"now gives {proposal and proposal.architecture}: config.yaml was changed, or another "
                "version of raynas made the run; start a new run instead"
            )
        self._state.apply_proposal(proposal)

    def _require_metric(self, proposal_id: int, outcome: Outcome) -> None:
        if not self._state.standings[proposal_id].proposal.is_prelude:
            self._objective.value(outcome)

    def _record_one(self, proposal_id: int, outcome: Outcome, *, done: bool) -> Decision:
        state = self._state
        standing = state.standings[proposal_id]
        if standing.ended:
            return "stop"
        if isinstance(outcome, Failure):
            self._write(facts.of_failure(proposal_id, outcome))
            state.apply_failure(proposal_id, outcome)
            return "stop"
        if outcome.epoch <= standing.epoch and not done:
            # the worker was lost after this report; a trial that was to pause here pauses now
            again = standing.status == "paused" and outcome.epoch == standing.epoch
            return "pause" if again else "continue"
        if self._keeps_reports:
            self._write(facts.of_report(proposal_id, outcome, done=done))
        return state.apply_report(proposal_id, outcome, done=done)

    def _flush(self) -> None:
        if not self._unwritten:
            return
        now = round(self._clock(), 3)
        records = self._unwritten.copy()
        self._unwritten.clear()
        for record in records:
            record["time"] = now
        self._journal.append(records)
        if self._on_event is not None:
            for record in records:
                self._on_event(record)
