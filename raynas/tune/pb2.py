"""Ray Tune's population based bandits on a run's proposals; apart, since it loads scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.schedulers.pb2 import PB2

from raynas.search.scheduler.ray_tune import changed
from raynas.search.sweep import Interval
from raynas.tune.population import Population


class Pb2(Population, PB2):
    """Population based bandits: a Gaussian process of the past improvements chooses the values.

    Args:
        time_attr: What is reported as time.
        metric: What trials are compared by.
        mode: ``max`` or ``min``.
        hyperparam_bounds: See ``raynas.search.scheduler.ray_tune.RayTune``.
        perturbation_interval: Time between two looks at a trial.
        quantile_fraction: Share of the trials that give up, and of those that are copied; up to 0.5.
        synch: Whether all trials wait for one another at each interval.
    """

    def __init__(
        self,
        *,
        time_attr: str,
        metric: str,
        mode: str,
        hyperparam_bounds: Mapping[str, Any],
        perturbation_interval: float,
        quantile_fraction: float = 0.25,
        synch: bool = False,
    ) -> None:
        self._ranges = changed(hyperparam_bounds, bounds=True)
        bounds: dict[str, Any] = {
            path: [of.low, of.high] for path, of in self._ranges.items() if isinstance(of, Interval)
        }
        super().__init__(
            time_attr=time_attr,
            metric=metric,
            mode=mode,
            perturbation_interval=perturbation_interval,
            hyperparam_bounds=bounds,
            quantile_fraction=quantile_fraction,
            log_config=False,
            synch=synch,
        )
