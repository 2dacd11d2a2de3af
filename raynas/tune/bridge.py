"""Between Tune's trials and a run's proposals: who evaluates what, and what came of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from raynas.errors import InputError
from raynas.search.asktell import Decision, Failure
from raynas.search.run import Run
from raynas.search.standing import Assignment, Progress
from raynas.tune.trainable import PROGRESS


class Bridge:
    """Keeps the run informed of Tune's trials.

    Attributes:
        run: The run.
        refusal: Why a result could not be recorded, if that ended the attempt.
        holds_back: Whether a paused trial waits for room, so that no new one may take it.
        resumes_first: Whether the run's own scheduler says who goes on, which comes before anyone new.
        clonable: Gives the checkpoints of trials that a scheduler may yet let others go on from, by their
            paths relative to the run's folder; None: no scheduler that does.

    Args:
        run: The run.
        batch: Proposals to a trial.
        max_concurrent: Trials at a time; None: any number.
    """

    def __init__(self, run: Run, *, batch: int, max_concurrent: int | None) -> None:
        self.run = run
        self._batch = batch
        self._max_concurrent = max_concurrent
        self._ids: dict[str, list[int]] = {}
        self._trial_of: dict[int, str] = {}
        self.refusal: InputError | OSError | None = None
        self.holds_back = False
        self.resumes_first = False
        self.clonable: Callable[[], Collection[str]] | None = None
        self._replaced: set[str] = set()

    @property
    def exhausted(self) -> bool:
        """Whether nothing runs, and nothing ever will: what is paused then stays so."""
        run = self.run
        return run.live == 0 and run.next_to_resume() is None and len(self._ids) <= len(run.paused)

    def assign(self, trial_id: str) -> list[Assignment]:
        """Proposals for a new trial; none where it has to wait, or for good when ``exhausted``."""
        if not self.room or self.holds_back:
            return []
        resumable = self.run.next_to_resume()
        held = resumable in self._trial_of  # by a trial of Tune's; else it was paused in an earlier attempt
        if held and self.resumes_first:
            return []
        if resumable is None or held:
            assignments = self.run.take(self._batch)
        else:
            assignments = [self.run.resume(resumable)]
        if assignments:
            ids = [assignment.proposal.id for assignment in assignments]
            self._ids[trial_id] = ids
            self._trial_of.update(dict.fromkeys(ids, trial_id))
        return assignments

    def to_resume(self) -> str | None:
        """The paused trial of Tune's that the run's scheduler wants to go on, if there is room for one."""
        proposal_id = self.run.next_to_resume() if self.room else None
        return None if proposal_id is None else self._trial_of.get(proposal_id)

    def resumed(self, trial_id: str) -> None:
        """A trial goes on, if it was paused."""
        (proposal_id,) = self._ids[trial_id]
        if self.run.standing(proposal_id).status == "paused":
            self.run.resume(proposal_id)

    def result(self, result: dict[str, Any]) -> Decision:
        """Records what a trial reported; the same result may be given twice.

        Returns:
            What becomes of the trial.
        """
        progress = _progress(result)
        try:
            decisions = self.run.record(progress)
        except (InputError, OSError) as error:
            self.refusal = error  # Tune turns what callbacks raise into a TuneError
            raise
        return decisions[-1] if decisions and self._batch == 1 else "continue"

    def decided(self, trial_id: str, decision: Decision) -> None:
        """Records what a scheduler of Ray's makes of a trial; nothing becomes of one that has ended."""
        try:
            for proposal_id in self._ids.get(trial_id, ()):
                self.run.decide(proposal_id, decision)
        except (InputError, OSError) as error:
            self.refusal = error
            raise

    def exploited(
        self, trial_id: str, donor: str, epoch: int, checkpoint: str, config: Mapping[str, Any]
    ) -> Assignment:
        """Records that a trial goes on from another's checkpoint, with other values.

        Args:
            trial_id: Which.
            donor: The other.
            epoch: Of the checkpoint.
            checkpoint: Path relative to the run's folder.
            config: Values that it takes, by dotted path.

        Returns:
            What it is assigned from now on.
        """
        ((proposal_id,), (donor_id,)) = self._ids[trial_id], self._ids[donor]
        previous = self.run.standing(proposal_id).checkpoint
        try:
            assignment = self.run.exploit(
                proposal_id, donor=donor_id, epoch=epoch, checkpoint=checkpoint, config=config
            )
        except (InputError, OSError) as error:
            self.refusal = error
            raise
        if previous is not None and previous != checkpoint:
            self._replaced.add(previous)
        return assignment

    def unneeded(self, checkpoints: Iterable[str], *, keep_last: bool) -> list[str]:
        """Those of some replaced checkpoints, and of earlier ones, that nobody needs any more.

        Args:
            checkpoints: Paths relative to the run's folder.
            keep_last: Whether the last checkpoint of a trial that has ended is needed.
        """
        if self.clonable is None:
            return list(checkpoints)
        self._replaced.update(checkpoints)
        clonable = self.clonable()
        found = sorted(
            path
            for path in self._replaced
            if path not in clonable and not self.run.needed(path, by_ended=keep_last)
        )
        self._replaced.difference_update(found)
        return found

    def checkpoint(self, result: dict[str, Any], path: str) -> str | None:
        """Records a checkpoint that a trial made after a result.

        Args:
            result: The trial's last.
            path: Of the checkpoint, relative to the run's folder.

        Returns:
            The path of the one that it replaces.
        """
        progress = _progress(result)
        if not progress or progress[-1].done or isinstance(progress[-1].outcome, Failure):
            return None
        proposal_id, epoch = progress[-1].proposal_id, progress[-1].outcome.epoch
        previous = self.run.standing(proposal_id).checkpoint
        self.run.checkpoint(proposal_id, epoch, path)
        return previous if previous != path else None

    def ended(self, trial_id: str) -> list[str]:
        """A trial of Tune's is over: proposals that it did not come to wait for another.

        Returns:
            Paths of the checkpoints that nobody needs any more.
        """
        ids = self._ids.pop(trial_id, [])
        for proposal_id in ids:
            del self._trial_of[proposal_id]
        self.run.release(ids)
        standings = [self.run.standing(proposal_id) for proposal_id in ids]
        return [
            standing.checkpoint
            for standing in standings
            if standing.checkpoint is not None and standing.ended
        ]

    def retried(self, trial_id: str) -> list[Assignment]:
        """The worker of a trial was lost, and the trial starts again; gives what is left for it to do."""
        left = self._unfinished(trial_id)
        self.run.note("retry", ids=left[:1])
        return [self.run.assignment(proposal_id) for proposal_id in left]

    def lost(self, trial_id: str, message: str, detail: str) -> None:
        """A trial was lost too often: the proposal that it was at has failed."""
        failure = Failure("lost", message, None, detail)
        self.run.record([Progress(key, failure, done=True) for key in self._unfinished(trial_id)[:1]])

    def _unfinished(self, trial_id: str) -> list[int]:
        ids = self._ids.get(trial_id, [])
        return [proposal_id for proposal_id in ids if not self.run.standing(proposal_id).ended]

    @property
    def room(self) -> bool:
        """Whether one more trial may run."""
        running = len(self._ids) - sum(proposal_id in self._trial_of for proposal_id in self.run.paused)
        return self._max_concurrent is None or running < self._max_concurrent


def _progress(result: dict[str, Any]) -> Sequence[Progress]:
    packed = result.get(PROGRESS)
    if packed is None:
        return ()
    progress: Sequence[Progress] = pickle.loads(packed)  # noqa: S301 -- made by this run's own worker
    return progress
