"""Runs an experiment on Ray Tune, and goes on with one that was interrupted.

Every attempt is a fresh Tune experiment in a folder of its own. What the run knows it knows from its journal,
so Tune's snapshots are never read: they hold no scheduler, and lag behind (Ray 2.60).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.schedulers import TrialScheduler

import raynas
from raynas import journal, results
from raynas.config import Experiment, Override, TuneOptions, to_yaml
from raynas.config.population import beginnings
from raynas.config.stored import CONFIG, experiment_of
from raynas.errors import InputError, RaynasError
from raynas.journal import Journal, Record
from raynas.search.run import Run
from raynas.search.scheduler.ray_tune import RayTune
from raynas.storage import Folder, absolute
from raynas.tune import cluster
from raynas.tune.bridge import Bridge
from raynas.tune.population import Population
from raynas.tune.recorder import Recorder, discard
from raynas.tune.scheduler_adaptor import RaySchedulerAdaptor, SchedulerAdaptor, of_ray
from raynas.tune.searcher_adaptor import SearcherAdaptor
from raynas.tune.trainable import Evaluation, Setting

ATTEMPTS = "attempts"

# Of the journal's lines; a later version that reads them otherwise has another.
VERSION = 1

EventHandler = Callable[[Record, Run], None]

_log = logging.getLogger(__name__)


class InterruptedRunError(RaynasError):
    """The run was interrupted; nothing is lost."""

    exit_status = 130


@dataclass(frozen=True)
class _Attempt:
    experiment: Experiment
    folder: Folder
    number: int
    slots: int
    fixed: bool

    @property
    def pending(self) -> int:
        """Trials that may wait for resources: what the cluster holds, or more where it grows by demand."""
        wanted = self.experiment.tune.max_concurrent
        return wanted or (self.slots if self.fixed else max(self.slots, 16))


def run(
    experiment: Experiment,
    folder: Folder,
    *,
    name: str,
    address: str | None = None,
    on_event: EventHandler | None = None,
) -> Run:
    """Runs an experiment to its end.

    Args:
        experiment: What to run.
        folder: Where its files go; it must not hold a run yet.
        name: Of the run.
        address: Of a Ray cluster; see ``raynas.tune.cluster.connected``.
        on_event: Called with every fact once it is in the journal, and with the run.

    Returns:
        The run at its end.

    Raises:
        InputError: The folder holds a run; there is no such cluster; a trial wants more than there is; a
            scheduler of Ray's does not take its options.
        InterruptedRunError: Ctrl-C; ``resume`` goes on.
    """
    _of_ray(experiment)
    _refuse_taken(folder)
    with cluster.connected(address) as fixed:
        slots = cluster.slots(experiment.tune.resources, fixed=fixed)
        book = _new_journal(folder)
        try:
            _refuse_taken(folder)  # again, now that nobody else writes
            folder.write(CONFIG, to_yaml(experiment).encode())
            book.append([_header(experiment, name, here=address is None)])
            made = _restored(experiment, book, (), on_event)
            return _attempt(_Attempt(experiment, folder, 1, slots, fixed), made)
        finally:
            book.close()


def resume(
    folder: Folder,
    *,
    overrides: Sequence[Override] = (),
    address: str | None = None,
    on_event: EventHandler | None = None,
) -> Run:
    """Goes on with a run that was interrupted; a run that has ended is returned as it is.

    Args:
        folder: The run's.
        overrides: New values for keys under ``tune``: another cluster may hold more trials.
        address: As for ``run``.
        on_event: As for ``run``.

    Returns:
        The run at its end.

    Raises:
        InputError: The folder holds no run, another process is running it, or its configuration was changed,
            or the supernet that its trials take weights from.
        InterruptedRunError: Ctrl-C; it can be resumed again.
    """
    records = journal.read(folder)
    results.header(records)
    if records[0].get("version") != VERSION:
        raise InputError(
            f"{folder.uri}: made by raynas {records[0].get('raynas')}, whose journals this version cannot "
            "go on with; resume it with that version"
        )
    if foreign := [item.text for item in overrides if item.path[0] != "tune"]:
        raise InputError(f"{foreign[0]}: a resumed run keeps its configuration; only tune.* can be changed")
    experiment = experiment_of(folder, overrides, here=address is None)
    if records[0].get("digest") != digest(experiment):
        raise InputError(
            f"{folder.uri}/{CONFIG}: config.yaml was changed since the run began, or another version of "
            "raynas reads it otherwise; undo the change, or start a new run with it"
        )
    if any(record["kind"] == "end" for record in records):
        return _restored(experiment, journal.MemoryJournal(), records, None)
    if address is None:
        _require_supernet(experiment, records[0].get("supernet"))
    book = journal.open_for_append(folder)
    try:
        records = journal.read(folder)  # again, now that nobody else writes
        number = 1 + sum(record["kind"] == "attempt" for record in records)
        made = _restored(experiment, book, records, on_event)
        if isinstance(experiment.scheduler, RayTune):
            _log.warning(
                "Ray Tune's %s starts afresh: what it decided holds, but it has seen none of the reports",
                experiment.scheduler.scheduler,
            )
        with cluster.connected(address) as fixed:
            slots = cluster.slots(experiment.tune.resources, fixed=fixed)
            return _attempt(_Attempt(experiment, folder, number, slots, fixed), made)
    finally:
        book.close()


def digest(experiment: Experiment) -> str:
    """A fingerprint of all that decides what a run finds: the experiment without its options of Tune."""
    decisive = dataclasses.replace(experiment, tune=TuneOptions(), smoke={})
    return hashlib.sha256(to_yaml(decisive).encode()).hexdigest()


def _refuse_taken(folder: Folder) -> None:
    """Refuses a folder that holds anything but what a start leaves that was killed before the run began."""
    names = set(folder.names())
    if names <= {CONFIG, journal.FILE} and (journal.FILE not in names or not journal.read(folder)):
        return
    raise InputError(
        f"{folder.uri} is there already; go on with it by 'raynas resume {folder.uri}', "
        "or give another --name"
    )


def _new_journal(folder: Folder) -> Journal:
    try:
        return journal.open_for_append(folder)
    except OSError as error:
        raise InputError(f"{folder.uri}: cannot be written: {error}; give a --storage that can") from error


def _restored(
    experiment: Experiment, book: Journal, records: Sequence[Record], on_event: EventHandler | None
) -> Run:
    def told(record: Record) -> None:
        if on_event is not None:
            on_event(record, made)

    scheduler = experiment.scheduler.start(experiment.report)
    made = Run(experiment.search(), scheduler, experiment.report, book, on_event=told)
    made.replay(records)
    return made


def _attempt(attempt: _Attempt, made: Run) -> Run:
    experiment, folder = attempt.experiment, attempt.folder
    made.note("attempt", number=attempt.number, host=socket.gethostname(), slots=attempt.slots)
    options = experiment.tune
    bridge = Bridge(made, batch=experiment.batch, max_concurrent=options.max_concurrent)
    try:
        with _environment(TUNE_MAX_PENDING_TRIALS_PG=str(attempt.pending)):
            _tune(attempt, bridge)
    except (TuneError, RayError) as error:
        if isinstance(bridge.refusal, OSError):
            raise RaynasError(
                f"{folder.uri}: cannot be written: {bridge.refusal}; make room, then go on with "
                f"'raynas resume {folder.uri}'"
            ) from error
        raise bridge.refusal or error from error
    except RuntimeError as error:
        # Tune's actor manager ends so on what it does not count as a lost worker: one that Ray killed since
        # the machine ran low on memory
        if not isinstance(error.__cause__, RayError):
            raise
        results.keep(folder)
        raise RaynasError(
            f"Ray lost workers: {str(error.__cause__).splitlines()[0]}; nothing that was reported is lost: "
            f"go on with 'raynas resume {folder.uri}', with fewer trials at a time "
            "(-o tune.max_concurrent=1) where memory ran low"
        ) from error
    if not bridge.exhausted:
        results.keep(folder)
        raise InterruptedRunError(f"interrupted; nothing is lost: go on with 'raynas resume {folder.uri}'")
    made.note("end")
    if not options.keep_checkpoints:
        paused = (made.standing(proposal_id).checkpoint for proposal_id in made.paused)
        discard(folder, (path for path in paused if path is not None))  # nobody will go on from them
    if bridge.clonable is not None:  # some were kept for others, in this attempt or in one that was killed
        keys = {"checkpoint": "path", "exploit": "checkpoint"}
        written = [record[keys[record["kind"]]] for record in journal.read(folder) if record["kind"] in keys]
        discard(folder, bridge.unneeded(written, keep_last=options.keep_checkpoints))
    results.keep(folder)
    return made


def _tune(attempt: _Attempt, bridge: Bridge) -> None:
    experiment, folder = attempt.experiment, attempt.folder
    resources = experiment.tune.resources
    bundle = {"CPU": resources.cpu, "GPU": resources.gpu, **resources.custom}
    place = folder.child(ATTEMPTS)
    trainable: Any = tune.with_parameters(Evaluation, setting=Setting.of(experiment, folder.uri))
    tune.run(
        trainable,
        name=f"{attempt.number:04d}",
        num_samples=-1,
        resources_per_trial=tune.PlacementGroupFactory([{key: n for key, n in bundle.items() if n > 0}]),
        storage_path=absolute(place),
        search_alg=SearcherAdaptor(bridge),
        scheduler=_scheduler(experiment, bridge, folder),
        callbacks=[
            Recorder(bridge, folder, keep_checkpoints=experiment.tune.keep_checkpoints),
            *map(_logger, experiment.tune.loggers),
        ],
        # the recorder removes checkpoints; Tune, told to, would snapshot the experiment at each one
        checkpoint_config=tune.CheckpointConfig(num_to_keep=None),
        max_failures=experiment.tune.max_failures,
        reuse_actors=True,
        raise_on_failed_trial=False,
        trial_name_creator=lambda trial: f"trial_{trial.trial_id}",
        trial_dirname_creator=lambda trial: f"trial_{trial.trial_id}",
        verbose=0,
    )


def _scheduler(experiment: Experiment, bridge: Bridge, folder: Folder) -> TrialScheduler:
    spec, scheduler = experiment.scheduler, _of_ray(experiment)
    if scheduler is None or not isinstance(spec, RayTune):
        return SchedulerAdaptor(bridge)
    if isinstance(scheduler, Population):
        scheduler.join(bridge, folder, beginnings(experiment))
    return RaySchedulerAdaptor(bridge, scheduler, experiment.report, time_attr=spec.time_attr)


def _of_ray(experiment: Experiment) -> TrialScheduler | None:
    """The scheduler of Ray's that an experiment names; None where it names one of raynas."""
    if not isinstance(experiment.scheduler, RayTune):
        return None
    return of_ray(experiment.scheduler, experiment.report, getattr(experiment.workload, "metrics", ()))


def _logger(name: str) -> tune.Callback:
    from ray.tune import logger

    match name:
        case "csv":
            return logger.CSVLoggerCallback()
        case "json":
            return logger.JsonLoggerCallback()
        case "tensorboard":
            return logger.TBXLoggerCallback()
        case "mlflow":
            from ray.air.integrations.mlflow import MLflowLoggerCallback

            return MLflowLoggerCallback()
        case _:
            from ray.air.integrations.wandb import WandbLoggerCallback

            return WandbLoggerCallback()


@contextmanager
def _environment(**extra: str) -> Iterator[None]:
    """Tune's settings that are environment variables alone; one that the user has set stays."""
    wanted = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # snapshots are never read
        "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the recorder tells of them
        "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in the driver and in its workers
        **extra,
    }
    missing = {key: value for key, value in wanted.items() if key not in os.environ}
    os.environ.update(missing)
    levels = {key: logging.getLogger(key).level for key in ("ray.tune", "ray.train")}
    for key in levels:
        logging.getLogger(key).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for key in missing:
            del os.environ[key]
        for key, level in levels.items():
            logging.getLogger(key).setLevel(level)


def _supernet(experiment: Experiment) -> str | None:
    """A fingerprint of the supernet that the experiment names; None where it names none."""
    of_workload = getattr(experiment.workload, "supernet_fingerprint", None)
    if experiment.supernet is None or of_workload is None:
        return None
    found: str = of_workload(experiment.supernet)
    return found


def _require_supernet(experiment: Experiment, due: str | None) -> None:
    """Refuses to go on with another supernet than the run began with."""
    if due is not None and _supernet(experiment) != due:
        raise InputError(
            f"{experiment.supernet}: holds another supernet than when the run began, and scores of two "
            "cannot be compared; put the first one back, or start a new run"
        )


def _header(experiment: Experiment, name: str, *, here: bool) -> Record:
    begins = beginnings(experiment)
    supernet = _supernet(experiment) if here else None  # it may lie on the cluster's machines alone
    return {
        "kind": "run",
        "version": VERSION,
        "raynas": raynas.__version__,
        "name": name,
        "space": experiment.search_space,
        "metric": experiment.report.metric,
        "mode": experiment.report.mode,
        "seed": experiment.seed,
        "digest": digest(experiment),
        "time": time.time(),
        **({"begins": begins} if begins else {}),
        **({"supernet": supernet} if supernet else {}),
    }
