"""Ray Tune's own schedulers, by the names of ``ray.tune.create_scheduler``.

They decide inside Ray Tune, so that they run on Ray alone, never in a simulation. Every decision of theirs is
in the journal before it takes effect, and a run that is resumed keeps them all: what was stopped stays
stopped, what was paused goes on. The scheduler itself starts afresh in a resumed run, since Ray saves none:
it knows nothing of the reports before, so that the run may end otherwise than an uninterrupted one. For
decisions that are the same however often a run is interrupted use one of raynas, such as ``asha``.

``pbt`` and ``pb2`` change hyperparameters of trials under way, so that they serve workloads that find their
architectures themselves. What a trial took from another is in the journal before it takes effect, and a
resumed run goes on with the values and from the checkpoint that it took; the scheduler compares trials anew,
from their next reports on. A trial may go back some epochs so; what it does there then counts.

Some of these draw from Python's or NumPy's module-wide random state (``pbt`` does, and ``async_hyperband``
with several brackets), and all depend on the order in which reports arrive: two runs of one seed may differ.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from raynas.assets import suggestion
from raynas.search.asktell import Decision, Objective, Report
from raynas.search.sweep import Interval, Range, ranges

NAMES = (
    "async_hyperband",
    "asynchyperband",
    "fifo",
    "hb_bohb",
    "hyperband",
    "median_stopping_rule",
    "medianstopping",
    "pb2",
    "pbt",
)

CHANGES = {"pb2": "hyperparam_bounds", "pbt": "hyperparam_mutations"}
"""Those that change running trials, and the option that says what they change."""

REFUSED = {
    "pbt_replay": "changes one trial as a file of Ray Tune's says, and raynas writes none",
    "resource_changing": "changes the resources of running trials, and tune.resources holds for all of a run",
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
            ``hyperparam_mutations`` of ``pbt`` and ``hyperparam_bounds`` of ``pb2`` hold for each key that
            is changed, by its dotted path, a list of values or an interval as in ``sweep``; of ``pb2`` it
            is ``[low, high]``.
    """

    scheduler: str
    options: Mapping[str, Any] = field(default_factory=dict)

    needs_ray: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.scheduler in REFUSED:
            raise ValueError(
                f"scheduler: {self.scheduler} {REFUSED[self.scheduler]}; use one of {', '.join(NAMES)}"
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

        if self.scheduler in CHANGES:
            self._check_changes()

    @property
    def changes(self) -> dict[str, Range]:
        """What it changes in running trials, by dotted path; empty for most."""
        return changed(self.options.get(CHANGES.get(self.scheduler, ""), {}), bounds=self.scheduler == "pb2")

    @property
    def time_attr(self) -> str:
        """What the scheduler takes for time."""
        return str(self.options.get("time_attr", EPOCH))

    def start(self, objective: Objective) -> _DecidedByRay:
        """What stands in a run for a scheduler that is elsewhere."""
        return _DecidedByRay()

    def _check_changes(self) -> None:
        option = CHANGES[self.scheduler]
        given = self.options.get(option, {})
        if not isinstance(given, Mapping):
            raise ValueError(f"options: {option}: {given!r} holds no keys; give {{key: [values]}}")
        try:
            found = self.changes
        except ValueError as error:
            raise ValueError(f"options: {option}.{error}") from error
        if self.scheduler == "pb2":
            for path, of in found.items():
                if not isinstance(of, Interval) or of.log or of.whole:
                    raise ValueError(
                        f"options: {option}.{path}: {given[path]} is not [low, high]; use pbt for others"
                    )
        if self.time_attr != EPOCH:
            raise ValueError(
                f"options: time_attr {self.time_attr}; {self.scheduler} goes by epochs, leave it out"
            )
        interval = self.options.get("perturbation_interval", 1)
        if not isinstance(interval, int | float) or isinstance(interval, bool) or not interval >= 1:
            raise ValueError(
                f"options: perturbation_interval {interval!r} is not 1 or more; give a number of epochs"
            )


def changed(described: Mapping[str, Any], *, bounds: bool = False) -> dict[str, Range]:
    """The ranges that ``hyperparam_mutations`` or ``hyperparam_bounds`` describe.

    Args:
        described: For each dotted path a list, or a range as in ``sweep``.
        bounds: Whether a list holds the ends of an interval, rather than values.

    Raises:
        ValueError: Something else; the message begins with the path.
    """
    form = "uniform" if bounds else "grid"
    return ranges(
        {
            path: {form: given} if isinstance(given, list | tuple) else given
            for path, given in described.items()
        }
    )


class _DecidedByRay:
    """Decides nothing: what Ray's scheduler decides reaches the run by ``Run.decide`` and ``Run.resume``."""

    def report(self, trial_id: int, report: Report) -> Decision:
        return "continue"

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        """The longest paused; one that Ray's scheduler does not hold is handed to it so."""
        return next(iter(paused), None)
