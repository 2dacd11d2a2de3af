"""Where proposals stand, and what a run and its drivers hand each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raynas.search.asktell import Decision, Outcome, Proposal

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

    def would_change(self, decision: Decision) -> bool:
        """Whether anything becomes of it by a decision; a trial that has not reported is left alone."""
        if self.ended or self.outcome is None or decision == "continue":
            return False
        return decision == "stop" or self.status != "paused"


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
