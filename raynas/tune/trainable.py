"""The one Trainable: evaluates the proposals of one Tune trial, one after another, an epoch at a time."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from raynas.config import Experiment, with_values
from raynas.errors import RaynasError
from raynas.results import RESERVED
from raynas.search.asktell import Failure, Report
from raynas.search.standing import Assignment, Progress
from raynas.storage import ARTIFACTS, absolute, folder
from raynas.trial import Diverged, Workload

# Both pickled: Tune copies, flattens and writes out all that it can look into, for every result.
PROGRESS = "progress"
ASSIGNMENTS = "assignments"

# A batch reports at least this often, so that its finished proposals are soon safe and seen.
SLICE_S = 1.0

# Experiments with other values that a worker keeps.
_KEPT = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What all trials of a run share, in a form that needs no module of the user's to be unpickled.

    Attributes:
        experiment: The run's experiment, pickled.
        run_uri: The run's folder, where checkpoints are found again.
        directory: The driver's working directory; a worker that has it works there, too.
        import_paths: Where the driver finds modules; a worker looks there too, after its own paths.
    """

    experiment: bytes
    run_uri: str
    directory: str
    import_paths: tuple[str, ...]

    @classmethod
    def of(cls, experiment: Experiment, run_uri: str) -> Setting:
        """The setting of a run that this process drives."""
        paths = tuple(str(Path(path).absolute()) for path in sys.path)
        return cls(pickle.dumps(experiment), run_uri, str(Path.cwd()), paths)

    def unpack(self) -> Experiment:
        """The experiment, in a worker."""
        if Path(self.directory).is_dir():
            os.chdir(self.directory)
        sys.path.extend(path for path in self.import_paths if path not in sys.path)
        experiment = pickle.loads(self.experiment)  # noqa: S301 -- made by this run's own driver
        assert isinstance(experiment, Experiment)
        return experiment


class Evaluation(tune.Trainable):
    """Runs the workload of each assigned proposal.

    What a workload raises ends its proposal with a recorded failure, never the trial: only the loss of the
    worker itself is left to Tune, which starts the trial again from its last checkpoint.
    """

    _setting: Setting
    _experiment: Experiment
    _made: dict[str, Experiment]
    _assignments: Sequence[Assignment]
    _current: int | None
    _workload: Workload | None
    _unsaved: Exception | None

    def setup(self, config: dict[str, Any], setting: Setting) -> None:  # type: ignore[override]
        """Takes the trial's assignments; see ``ray.tune.Trainable``."""
        self._setting = setting
        self._experiment = setting.unpack()
        self._made = {}
        self._assign(config[ASSIGNMENTS])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes another trial's assignments in the same process."""
        self._assign(new_config[ASSIGNMENTS])
        return True

    def step(self) -> dict[str, Any]:
        """One epoch of one proposal; of a batch, as many as fit into a second."""
        ends_at = time.monotonic() + SLICE_S
        progress = [self._advance()]
        while len(self._assignments) > 1 and self._current is not None and time.monotonic() < ends_at:
            progress.append(self._advance())
        last = progress[-1]
        result: dict[str, Any] = {PROGRESS: pickle.dumps(progress), DONE: self._current is None}
        if isinstance(last.outcome, Report):
            result.update(last.outcome.metrics, epoch=last.outcome.epoch)
            every = self._experiment.tune.checkpoint_every
            result[SHOULD_CHECKPOINT] = bool(every) and not last.done and last.outcome.epoch % every == 0
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Writes the state of the proposal at hand."""
        from raynas.workloads import _checkpoint

        state = None
        try:
            state = None if self._workload is None else self._workload.state_dict()
        except Exception as error:  # the workload's own; recorded at the next step
            self._unsaved = error
        proposal_id = None if self._current is None else self._assignments[self._current].proposal.id
        _checkpoint.write({"proposal": proposal_id, "state": state}, Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: str) -> None:  # type: ignore[override]
        """Goes on from a checkpoint of this trial, or of the one that it is to go on from."""
        saved = _read(Path(checkpoint))
        fitting = [at for at, assignment in enumerate(self._assignments) if _fits(saved, assignment)]
        if not fitting:
            return
        (self._current,) = fitting
        self._workload = None
        if saved["state"] is not None:
            try:
                workload = self._start(self._assignments[self._current])
                workload.load_state_dict(saved["state"])
                self._workload = workload
            except Exception as error:  # the workload's own; recorded at the next step
                self._unsaved = error

    def cleanup(self) -> None:
        """Lets go of the workload."""
        self._workload = None

    def _assign(self, assignments: bytes) -> None:
        self._assignments = pickle.loads(assignments)  # noqa: S301 -- made by this run's own driver
        self._current = 0
        self._workload = None
        self._unsaved = None

    def _advance(self) -> Progress:
        assert self._current is not None
        assignment = self._assignments[self._current]
        proposal_id = assignment.proposal.id
        try:
            if self._unsaved is not None:
                raise self._unsaved
            if self._workload is None:
                self._workload = self._start(assignment)
                self._go_on(self._workload, assignment)
            report, done = checked(self._workload.step()), bool(self._workload.done)
            if done:
                self._keep_artifacts(self._workload, proposal_id)
            progress = Progress(proposal_id, report, done=done)
        except Diverged as error:
            progress = Progress(proposal_id, Failure("diverged", str(error), error.epoch), done=True)
        except Exception as error:
            _log.exception("proposal %d failed", proposal_id)
            progress = Progress(proposal_id, _failure(error), done=True)
        if progress.done:
            self._workload = self._unsaved = None
            following = self._current + 1
            self._current = following if following < len(self._assignments) else None
        return progress

    def _start(self, assignment: Assignment) -> Workload:
        proposal = assignment.proposal
        experiment = self._with(proposal.config)
        # in a run that begins with a prelude, the prelude is proposal 0
        made = absolute(folder(self._setting.run_uri).child(ARTIFACTS).child("0"))
        return experiment.workload_of(proposal).start(experiment.trial(proposal, made=made))

    def _with(self, config: Mapping[str, Any]) -> Experiment:
        """The experiment with a proposal's values; kept, since its making may cost more than a score."""
        key = repr(sorted(config.items()))  # not the values themselves: 1 and True are equal
        if key not in self._made:
            if len(self._made) == _KEPT:
                self._made.clear()
            self._made[key] = with_values(self._experiment, config)
        return self._made[key]

    def _keep_artifacts(self, workload: Workload, proposal_id: int) -> None:
        """Writes what a workload has made into the run's folder, before anyone hears that it is done."""
        make: Callable[[], Mapping[str, bytes]] | None = getattr(workload, "artifacts", None)
        if make is None:
            return
        place = folder(self._setting.run_uri).child(ARTIFACTS).child(str(proposal_id))
        for name, content in make().items():
            try:
                place.write(name, content)
            except OSError as error:
                raise RaynasError(
                    f"{place.uri}/{name}: cannot be written: {error}; make room, then run again"
                ) from error

    def _go_on(self, workload: Workload, assignment: Assignment) -> None:
        if assignment.checkpoint is None:
            return
        with tempfile.TemporaryDirectory() as copy:
            place = folder(self._setting.run_uri).child(assignment.checkpoint)
            for name in place.names():
                Path(copy, name).write_bytes(place.read(name))
            saved = _read(Path(copy))
        if not _fits(saved, assignment) or saved["state"] is None:
            _log.warning("proposal %d starts anew: its checkpoint is gone", assignment.proposal.id)
            return
        workload.load_state_dict(saved["state"])


def checked(report: object) -> Report:
    """A workload's report with plain numbers in it.

    Raises:
        TypeError: It is none, or a metric is not a number.
        ValueError: A metric has the name of a column of the result frame.
    """
    if not isinstance(report, Report):
        raise TypeError(f"step() must return a Report, and returned {type(report).__name__}")
    if taken := sorted(RESERVED & report.metrics.keys()):
        raise ValueError(f"the metric '{taken[0]}' has the name of a column of the result frame; rename it")
    metrics = {str(name): float(value) for name, value in report.metrics.items()}
    return Report(metrics, int(report.epoch), float(report.cost_s), report.architecture)


def _failure(error: Exception) -> Failure:
    message = f"{type(error).__name__}: {error}".splitlines()[0]
    return Failure("error", message, None, "".join(traceback.format_exception(error)))


def _fits(saved: Any, assignment: Assignment) -> bool:
    """Whether an assignment may go on from a checkpoint."""
    return saved is not None and saved["proposal"] in {assignment.proposal.id, assignment.donor} - {None}


def _read(directory: Path) -> Any:
    from raynas.workloads import _checkpoint

    return _checkpoint.read(directory) if _checkpoint.complete(directory) else None
