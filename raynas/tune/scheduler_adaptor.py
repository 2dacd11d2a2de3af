"""Tune asks a scheduler; this one asks the run's."""

from __future__ import annotations

from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raynas.tune.bridge import Bridge

_DECISIONS = {
    "continue": TrialScheduler.CONTINUE,
    "pause": TrialScheduler.PAUSE,
    "stop": TrialScheduler.STOP,
}


class SchedulerAdaptor(TrialScheduler):
    """Records each result before it is decided on, and starts paused trials when the run's scheduler says so.

    Args:
        bridge: To the run.
    """

    # a decision for every single result
    _supports_buffered_results = False

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
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
