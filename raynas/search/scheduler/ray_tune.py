"""Ray Tune's own schedulers, by the names of ``ray.tune.create_scheduler``.

They decide inside Ray Tune, so that they run on Ray alone, never in a simulation. Every decision of theirs is
in the journal before it takes effect, and a run that is resumed keeps them all: what was stopped stays
stopped, what was paused goes on. The scheduler itself starts afresh in a resumed run, since Ray saves none:
it knows nothing of the reports before, so that the run may end otherwise than an uninterrupted one. For
decisions that are the same however often a run is interrupted use one of raynas, such as ``asha``.

Some of these draw from NumPy's module-wide random state (``async_hyperband`` with several brackets does), and
all depend on the order in which reports arrive: two runs of one seed may differ.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from raynas.assets import suggestion
from raynas.search.asktell import Decision, Objective, Report

NAMES = (
    "async_hyperband",
    "asynchyperband",
    "fifo",
    "hb_bohb",
    "hyperband",
    "median_stopping_rule",
    "medianstopping",
)

_NO_USE = "hyperparameters of running trials, and a sampled architecture has none"
REFUSED = {
    "pb2": _NO_USE,
    "pbt": _NO_USE,
    "pbt_replay": _NO_USE,
    "resource_changing": "resources of running trials, and tune.resources holds for all of a run",
}

EPOCH = "epoch"
_SET_ELSEWHERE = {
    "metric": "report.metric says what is improved",
    "mode": "report.mode says whether more of it is better",
}
_COUNTED_BY_RAY = (
    "training_iteration",
    "time_total_s",
    "time_this_iter_s",
    "timestamp",
    "iterations_since_restore",
)


@dataclass(frozen=True)
class RayTune:
    """A scheduler that comes with Ray Tune.

    Attributes:
        scheduler: Its name in Ray Tune.
        options: Its arguments but ``metric`` and ``mode``, which are the run's. ``time_attr`` is ``epoch``,
            or a metric that rises as a trial goes on; all counts of time are in its unit.
    """

    scheduler: str
    options: Mapping[str, Any] = field(default_factory=dict)

    needs_ray: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.scheduler in REFUSED:
            raise ValueError(
                f"scheduler: {self.scheduler} changes the {REFUSED[self.scheduler]}; "
                f"use one of {', '.join(NAMES)}"
            )
        if self.scheduler not in NAMES:
            raise ValueError(
                f"scheduler: Ray Tune has no '{self.scheduler}'{suggestion(self.scheduler, list(NAMES))} "
                f"Available: {', '.join(NAMES)}"
            )
        for name, instead in _SET_ELSEWHERE.items():
            if name in self.options:
                raise ValueError(f"options: {name} is not given here, since {instead}; leave it out")
        if self.time_attr in _COUNTED_BY_RAY:
            raise ValueError(
                f"options: time_attr {self.time_attr} begins anew when a run is resumed; "
                "use epoch, or a metric that the workload reports"
            )
        factor = self.options.get("reduction_factor", 2)
        # Ray checks it in one of its schedulers; the others divide by its logarithm, or halve for ever
        if not isinstance(factor, int | float) or not factor > 1:
            raise ValueError(
                f"options: reduction_factor {factor!r} lets every trial go on; give a number above 1"
            )

    @property
    def time_attr(self) -> str:
        """What the scheduler takes for time."""
        return str(self.options.get("time_attr", EPOCH))

    def start(self, objective: Objective) -> _DecidedByRay:
        """What stands in a run for a scheduler that is elsewhere."""
        return _DecidedByRay()


class _DecidedByRay:
    """Decides nothing: what Ray's scheduler decides reaches the run by ``Run.decide`` and ``Run.resume``."""

    def report(self, trial_id: int, report: Report) -> Decision:
        return "continue"

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        """The longest paused; one that Ray's scheduler does not hold is handed to it so."""
        return next(iter(paused), None)
