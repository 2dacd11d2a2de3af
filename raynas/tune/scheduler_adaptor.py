"""Tune asks a scheduler; this one asks the run's, or one of Ray's own and tells the run what it says."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Collection
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import SCHEDULER_IMPORT, TrialScheduler

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.lookup import reason
from raynas.search.asktell import Decision, Objective
from raynas.search.scheduler.ray_tune import EPOCH, RayTune
from raynas.tune.bridge import Bridge
from raynas.tune.population import Pbt

_log = logging.getLogger(__name__)

_DECISIONS = {
    "continue": TrialScheduler.CONTINUE,
    "pause": TrialScheduler.PAUSE,
    "stop": TrialScheduler.STOP,
}
_ANSWERS: dict[str, Decision] = {TrialScheduler.PAUSE: "pause", TrialScheduler.STOP: "stop"}

# Stands for a value that is none; far enough from the greatest number for sums of many.
_HUGE = 1e300


class SchedulerAdaptor(TrialScheduler):
    """Records each result before it is decided on, and starts paused trials when the run's scheduler says so.

    Args:
        bridge: To the run.
    """

    # a decision for every single result
    _supports_buffered_results = False

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        bridge.resumes_first = True
        self._bridge = bridge
        self._trials: dict[str, Trial] = {}
        self._waiting: dict[str, Trial] = {}

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        self._trials[trial.trial_id] = trial
        self._waiting[trial.trial_id] = trial

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        return _DECISIONS[self._bridge.result(result)]

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> None:
        self._trials.pop(trial.trial_id, None)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Nothing: Tune calls this also for a trial that it starts again."""

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        self._trials.pop(trial.trial_id, None)

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """A paused trial to go on, else the pending trial of the earliest proposal; Tune takes any."""
        if self._bridge.run.paused:
            trial_id = self._bridge.to_resume()
            # a trial told to pause is not paused until its checkpoint is written
            if trial_id is not None and self._trials[trial_id].status == Trial.PAUSED:
                self._bridge.resumed(trial_id)
                return self._trials[trial_id]
            if self._bridge.exhausted:
                for trial in list(self._trials.values()):
                    tune_controller.stop_trial(trial)
                return None
        while self._waiting:
            trial_id, trial = next(iter(self._waiting.items()))
            if trial.status == Trial.PENDING:
                return trial
            del self._waiting[trial_id]
        return None

    def debug_string(self) -> str:
        return ""


def of_ray(spec: RayTune, objective: Objective, metrics: Collection[str] = ()) -> TrialScheduler:
    """A scheduler of Ray's at its beginning.

    Args:
        spec: Which.
        objective: What it compares trials by.
        metrics: Those that the workload reports; empty where that is not known.

    Raises:
        InputError: It does not take these options.
    """
    kind = _kind(spec.scheduler)
    known = set(inspect.signature(kind).parameters)
    takes = sorted(known - {"metric", "mode"})
    # create_scheduler would drop what the scheduler does not know
    for name in sorted(spec.options.keys() - takes):
        raise InputError(
            f"scheduler.options: {spec.scheduler} takes no '{name}'{suggestion(name, takes)} "
            f"It takes {', '.join(takes) or 'none'}"
        )
    if metrics and spec.time_attr not in (EPOCH, *metrics):
        raise InputError(
            f"scheduler.options: the workload reports no '{spec.time_attr}' for time_attr; use {EPOCH}, or "
            f"one of {', '.join(metrics)}"
        )
    ours = {"time_attr": spec.time_attr, "metric": objective.metric, "mode": objective.mode}
    try:
        made = kind(**{**spec.options, **{name: value for name, value in ours.items() if name in known}})
    except Exception as error:  # it asserts, divides and compares
        raise InputError(f"scheduler.options: {spec.scheduler} refuses them: {reason(error)}") from error
    assert isinstance(made, TrialScheduler)
    return made


def _kind(name: str) -> Any:
    match name:
        case "pbt":
            return Pbt
        case "pb2":
            from raynas.tune.pb2 import Pb2

            return Pb2
        case _:
            return SCHEDULER_IMPORT[name]


class RaySchedulerAdaptor(TrialScheduler):
    """Lets a scheduler of Ray's decide, and records what it decides before it takes effect.

    Args:
        bridge: To the run.
        scheduler: Ray's.
        objective: What it compares trials by.
        time_attr: What it takes for time.
    """

    _supports_buffered_results = False

    def __init__(
        self, bridge: Bridge, scheduler: TrialScheduler, objective: Objective, *, time_attr: str
    ) -> None:
        super().__init__()
        self._bridge = bridge
        self._scheduler: Any = scheduler  # what it is given for a controller is one by its methods only
        self._objective = objective
        self._time_attr = time_attr
        self._trials: dict[str, Trial] = {}

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        self._trials[trial.trial_id] = trial
        # one that lost its worker while it was to pause is added again, and Ray's scheduler knows no pause
        self._bridge.resumed(trial.trial_id)
        self._scheduler.on_trial_add(_Controller(tune_controller), trial)

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        if self._bridge.result(result) == "stop":
            return TrialScheduler.STOP
        self._refuse_timeless(result)
        shown = self._shown(result)
        if shown is None:
            return TrialScheduler.CONTINUE
        answer: str = self._scheduler.on_trial_result(_Controller(tune_controller), trial, shown)
        if answer == TrialScheduler.CONTINUE:
            self._bridge.resumed(trial.trial_id)
        elif answer in _ANSWERS:
            self._bridge.decided(trial.trial_id, _ANSWERS[answer])
        return answer

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> None:
        """A trial has ended by itself or was stopped, maybe while it was about to pause."""
        self._forget(trial)
        shown = self._shown(result)
        if shown is None:  # a failure; some of Ray's would stumble over it
            self._scheduler.on_trial_error(_Controller(tune_controller), trial)
        else:
            self._scheduler.on_trial_complete(_Controller(tune_controller), trial, shown)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """A worker was lost; Tune adds the trial again, or gives it up."""
        self._scheduler.on_trial_error(_Controller(tune_controller), trial)

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Ray's scheduler has stopped a trial that was paused."""
        self._forget(trial)
        self._scheduler.on_trial_remove(_Controller(tune_controller), trial)

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """The choice of Ray's scheduler; a paused trial waits until there is room for it."""
        chosen: Trial | None = self._scheduler.choose_trial_to_run(_Controller(tune_controller))
        if chosen is None and self._bridge.run.live == 0:
            chosen = self._left_paused()
        if chosen is None or chosen.status != Trial.PAUSED:
            self._bridge.holds_back = False
            return chosen
        self._bridge.holds_back = not self._bridge.room
        if self._bridge.holds_back:
            return None
        self._bridge.resumed(chosen.trial_id)
        return chosen

    def debug_string(self) -> str:
        return ""

    def _left_paused(self) -> Trial | None:
        """The longest paused trial, where nothing runs, nothing is new and Ray's scheduler wants none.

        HyperBand leaves all of a bracket paused when the last that it waited for has ended by itself, or when
        all are beyond its next milestone, as trials of a resumed run may be. One epoch more of any of them
        makes it look at the bracket again.
        """
        idle = (Trial.PAUSED, Trial.ERROR, Trial.TERMINATED)
        if any(trial.status not in idle for trial in self._trials.values()):
            return None
        trial = self._trials.get(self._bridge.to_resume() or "")
        if trial is None or trial.status != Trial.PAUSED:
            return None
        _log.info("Ray Tune's scheduler left every trial paused; the longest paused goes on")
        return trial

    def _forget(self, trial: Trial) -> None:
        self._trials.pop(trial.trial_id, None)
        self._bridge.decided(trial.trial_id, "stop")

    def _shown(self, result: dict[str, Any]) -> dict[str, Any] | None:
        """What Ray's scheduler sees of a result; None where it has nothing to compare."""
        value = result.get(self._objective.metric)
        if value is None or self._time_attr not in result:
            return None
        # no order and no percentile holds a nan, so that Ray's schedulers would let it go on
        worst = _HUGE if self._objective.mode == "min" else -_HUGE
        return {**result, self._objective.metric: value if math.isfinite(value) else worst}

    def _refuse_timeless(self, result: dict[str, Any]) -> None:
        if EPOCH in result and self._time_attr not in result:
            self._bridge.refusal = InputError(
                f"the trials report no '{self._time_attr}', which scheduler.options.time_attr names; "
                f"use {EPOCH}, or a metric that each report has"
            )
            raise self._bridge.refusal


class _Controller:
    """Tune's controller, with a searcher that ``hb_bohb`` may tell of pauses.

    ``pbt`` copies trials that are just being saved, which Tune is not made for: it would save them a second
    time, or end them when they are saved next.
    """

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self.search_alg = self.searcher = self

    def on_pause(self, trial_id: str) -> None:
        """Nothing: the run is told of decisions."""

    def on_unpause(self, trial_id: str) -> None:
        """Nothing; see ``on_pause``."""

    def pause_trial(self, trial: Trial, should_checkpoint: bool = True) -> None:  # noqa: FBT001, FBT002
        """Pauses a trial; one that is not to be saved, but is, when that is over."""
        saving = None if should_checkpoint else trial.temporary_state.saving_to
        if saving is not None:
            saving.resolve()
        self._controller.pause_trial(trial, should_checkpoint=should_checkpoint)
        if saving is not None:
            self._controller._cached_trial_decisions.pop(trial.trial_id, None)

    def _schedule_trial_save(self, trial: Trial, result: dict[str, Any] | None = None) -> Any:
        return trial.temporary_state.saving_to or self._controller._schedule_trial_save(trial, result=result)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)
