"""The facts of a search as its journal has them: how each is written, and read back.

To what is written here, the journal adds the time; ``raynas.results`` makes its frame of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raynas.journal import Record
from raynas.search.asktell import Decision, Failure, Proposal, Report, Score


def identity(record: Record) -> tuple[Any, ...]:
    """What a fact is the same by, whether it was written before or follows again from what was."""
    return record["kind"], record.get("id"), record.get("epoch")


def of_proposal(proposal: Proposal) -> dict[str, Any]:
    """A searcher has asked for something."""
    return {
        "kind": "proposal",
        "id": proposal.id,
        "architecture": None if proposal.architecture is None else str(proposal.architecture),
        "config": dict(proposal.config),
        "role": proposal.role,
        "group": proposal.group,
        "reuses": proposal.reuses,
    }


def tells_of(record: Record, proposal: Proposal) -> bool:
    """Whether a proposal's record is of this very proposal."""
    return all(record[key] == value for key, value in of_proposal(proposal).items())


def of_report(proposal_id: int, report: Report, *, done: bool) -> dict[str, Any]:
    """A proposal has trained one step more; ``done``: the last one."""
    record = {
        "kind": "report",
        "id": proposal_id,
        "epoch": report.epoch,
        "metrics": dict(report.metrics),
        "cost_s": report.cost_s,
        "done": done,
    }
    return record if report.architecture is None else {**record, "architecture": report.architecture}


def report_in(record: Record) -> Report:
    """What ``of_report`` was given."""
    return Report(record["metrics"], record["epoch"], record["cost_s"], record.get("architecture"))


def of_failure(proposal_id: int, failure: Failure) -> dict[str, Any]:
    """A proposal has ended without a result."""
    return {
        "kind": "failure",
        "id": proposal_id,
        "failure": failure.kind,
        "message": failure.message,
        "epoch": failure.epoch,
        "detail": failure.detail,
    }


def failure_in(record: Record) -> Failure:
    """What ``of_failure`` was given."""
    return Failure(record["failure"], record["message"], record["epoch"], record["detail"])


def of_decision(proposal_id: int, epoch: int, decision: Decision) -> dict[str, Any]:
    """A scheduler has had a trial pause or stop at an epoch."""
    return {"kind": "decision", "id": proposal_id, "epoch": epoch, "decision": decision}


def of_score(score: Score) -> dict[str, Any]:
    """An outcome has completed the score of a candidate."""
    return {
        "kind": "score",
        "id": score.proposal_id,
        "value": score.value,
        "n": score.n,
        "n_failed": score.n_failed,
    }


def of_checkpoint(proposal_id: int, epoch: int, path: str) -> dict[str, Any]:
    """A checkpoint lies at a path relative to the run's folder."""
    return {"kind": "checkpoint", "id": proposal_id, "epoch": epoch, "path": path}


def of_exploit(
    proposal_id: int, *, donor: int, epoch: int, checkpoint: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    """A proposal goes on from another's checkpoint with other values."""
    return {
        "kind": "exploit",
        "id": proposal_id,
        "donor": donor,
        "epoch": epoch,
        "checkpoint": checkpoint,
        "config": dict(config),
    }


def exploit_in(record: Record) -> dict[str, Any]:
    """What ``of_exploit`` was given beside the proposal."""
    return {key: record[key] for key in ("donor", "epoch", "checkpoint", "config")}


def of_resume(proposal_id: int) -> dict[str, Any]:
    """A paused proposal goes on."""
    return {"kind": "resume", "id": proposal_id}


def of_closing() -> dict[str, Any]:
    """Nothing runs, and nobody new is coming."""
    return {"kind": "closed"}
