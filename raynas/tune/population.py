"""Ray Tune's population based training on a run's proposals.

PBT (Jaderberg et al., 2017) and PB2 (Parker-Holder et al., NeurIPS 2020) as Ray Tune has them: at every
interval a trial of the lower quantile goes on from the checkpoint of one of the upper, with values near that
one's, or with those that a Gaussian process expects most of.

Departures: a trial keeps what it has of its own, such as its seed, and takes the donor's values of the
changed keys alone; values stay in their intervals, which Ray's factors may leave; what was done is in the
journal, in place of Ray's own log.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

from raynas.search.scheduler.ray_tune import EPOCH, changed
from raynas.search.standing import Assignment
from raynas.search.sweep import Listed, Range, Value
from raynas.storage import Folder
from raynas.tune.bridge import Bridge
from raynas.tune.recorder import path_in
from raynas.tune.trainable import ASSIGNMENTS


class Population(PopulationBasedTraining):
    """What both have in common: the changed values lie beside a trial's assignment, by their dotted paths."""

    _ranges: Mapping[str, Range]
    _begins: Mapping[str, Value]
    _told: Callable[[Trial, Trial, Mapping[str, Value]], Assignment]
    _place: Folder

    def join(self, bridge: Bridge, folder: Folder, begins: Mapping[str, Value]) -> None:
        """Takes part in a run.

        Args:
            bridge: To the run.
            folder: The run's.
            begins: What the configuration has for the changed keys.
        """
        self._begins, self._place = begins, folder

        def told(trial: Trial, donor: Trial, values: Mapping[str, Value]) -> Assignment:
            state: Any = self._trial_state[donor]
            path = path_in(folder, state.last_checkpoint)
            return bridge.exploited(trial.trial_id, donor.trial_id, state.last_result[EPOCH], path, values)

        self._told = told
        bridge.clonable = self._clonable

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        (assignment,) = pickle.loads(trial.config[ASSIGNMENTS])  # noqa: S301 -- made by this run's own driver
        given = {**self._begins, **assignment.proposal.config}
        trial.config.update({path: _typed(of, given[path]) for path, of in self._ranges.items()})
        super().on_trial_add(tune_controller, trial)

    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        explored, operations = super()._get_new_config(trial, trial_to_clone)
        values = {path: _within(of, explored[path]) for path, of in self._ranges.items()}
        assignment = self._told(trial, trial_to_clone, values)
        return {ASSIGNMENTS: pickle.dumps([assignment]), **values}, operations

    def _clonable(self) -> set[str]:
        """Paths of the checkpoints that trials may yet be made to go on from."""
        found: set[str] = set()
        for trial, state in self._trial_state.items():
            saved: Any = None if trial.is_finished() else state.last_checkpoint
            if hasattr(saved, "resolve"):  # it was being saved when the scheduler looked
                result = saved.resolve(block=False)  # one that is not ready is not in the journal, either
                saved = result and result.checkpoint
            if saved is not None:
                found.add(path_in(self._place, saved))
        return found


class Pbt(Population):
    """Population based training.

    Args:
        time_attr: What is reported as time.
        metric: What trials are compared by.
        mode: ``max`` or ``min``.
        hyperparam_mutations: See ``raynas.search.scheduler.ray_tune.RayTune``.
        perturbation_interval: Time between two looks at a trial.
        burn_in_period: Time before the first.
        quantile_fraction: Share of the trials that give up, and of those that are copied; up to 0.5.
        resample_probability: That a value is drawn anew, rather than moved a little.
        perturbation_factors: What values of intervals are multiplied by, one or the other.
        synch: Whether all trials wait for one another at each interval.
    """

    def __init__(
        self,
        *,
        time_attr: str,
        metric: str,
        mode: str,
        hyperparam_mutations: Mapping[str, Any],
        perturbation_interval: float,
        burn_in_period: float = 0.0,
        quantile_fraction: float = 0.25,
        resample_probability: float = 0.25,
        perturbation_factors: tuple[float, float] = (1.2, 0.8),
        synch: bool = False,
    ) -> None:
        self._ranges = changed(hyperparam_mutations)
        super().__init__(
            time_attr=time_attr,
            metric=metric,
            mode=mode,
            perturbation_interval=perturbation_interval,
            burn_in_period=burn_in_period,
            hyperparam_mutations={path: _distribution(of) for path, of in self._ranges.items()},
            quantile_fraction=quantile_fraction,
            resample_probability=resample_probability,
            perturbation_factors=perturbation_factors,
            log_config=False,
            synch=synch,
        )


def _distribution(of: Range) -> Any:
    """A range as Ray describes it."""
    if isinstance(of, Listed):
        return list(of.values)
    if of.whole:
        return tune.randint(int(of.low), int(of.high) + 1)
    return (tune.loguniform if of.log else tune.uniform)(of.low, of.high)


def _typed(of: Range, value: Any) -> Value:
    """A value as Ray's arithmetic expects it: it rounds what was an integer at the beginning."""
    if isinstance(of, Listed):
        return value  # type: ignore[no-any-return]
    return int(value) if of.whole else float(value)


def _within(of: Range, value: Any) -> Value:
    """An explored value, kept in its interval."""
    if isinstance(of, Listed):
        return value  # type: ignore[no-any-return]
    kept = min(max(float(value), float(of.low)), float(of.high))
    return round(kept) if of.whole else kept
