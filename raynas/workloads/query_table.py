"""Looks an architecture's training up in a table (``raynas.benchmarks``) instead of training it.

The seconds that a report costs are those that the training took, so that a search over a table spends what
the search itself would have spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from raynas import seeding
from raynas.errors import InputError, RaynasError
from raynas.search.asktell import Report
from raynas.trial import Recording, Recordings

if TYPE_CHECKING:
    from raynas.benchmarks import Table
    from raynas.trial import Trial

COST = "cost_s"
_Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CostModel:
    """Seconds that an epoch of training takes, where a table has none or others are wanted.

    Attributes:
        epoch_s: Of every architecture.
        mflop_s: More for each million of multiply-adds of one image.
    """

    epoch_s: float = 1.0
    mflop_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epoch_s", "mflop_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: {getattr(self, name)} is negative or not finite; give 0 or more")


@dataclass(frozen=True)
class QueryTable:
    """Reports what a table knows; the experiment's ``table`` names it.

    Attributes:
        dataset: What was trained on; None where the table has one dataset only.
        schedule: Epochs for which the training was planned; None where the table has one schedule only.
        seed: ``mean`` over the table's trainings; ``draw``: one of them, drawn for each architecture by the
            run's seed, as noisy as a training; or one seed of the table.
        epoch: Epoch to end with; None: the last.
        report_every: Epochs between reports, for schedulers to decide on; None: one report, at the end.
        cost: Seconds an epoch; None: the table's own.
    """

    needs_table: ClassVar[bool] = True

    dataset: str | None = None
    schedule: int | None = None
    seed: Literal["mean", "draw"] | int = "mean"
    epoch: int | None = None
    report_every: int | None = 1
    cost: CostModel | None = None

    def __post_init__(self) -> None:
        for name in ("epoch", "report_every"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise ValueError(f"{name}: {count} is below 1; give 1 or more")

    @property
    def uses_seed(self) -> bool:
        """Whether what is reported hangs on the trial's seed."""
        return self.seed == "draw"

    def table_problems(self, table: Table, metric: str) -> Iterator[tuple[str, str]]:
        """What cannot be looked up, as (field, message)."""
        try:
            part = table.part(self.dataset, self.schedule)
        except InputError as error:
            one = len(table.datasets) == 1 if self.dataset is None else self.dataset in table.datasets
            yield ("schedule" if one else "dataset"), str(error)
            return
        if isinstance(self.seed, int) and self.seed not in part.seeds:
            yield "seed", f"the table has no seed {self.seed}; there are {', '.join(map(str, part.seeds))}"
        if self.epoch is not None and self.epoch not in part.epochs:
            yield "epoch", f"the table has no epoch {self.epoch}; it has {_some(part.epochs)}"
            return
        known = part.known.get(metric)
        if known is None:
            yield "name", f"the table knows no {metric} of {part.dataset}; it knows {', '.join(part.known)}"
        elif (last := self.epoch or part.epochs[-1]) not in known:
            yield "epoch", f"the table knows {metric} at epochs {_some(known)}, not at {last}"
        if self.cost is not None and self.cost.mflop_s and "flops_m" not in part.known:
            yield "cost.mflop_s", "the table knows no flops_m; use epoch_s"

    def last_epoch_in(self, table: Table) -> int | None:
        """The epoch that trials end with; None where the table has no such trainings."""
        try:
            return self.epoch or table.part(self.dataset, self.schedule).epochs[-1]
        except InputError:
            return None

    def start(self, trial: Trial) -> Lookup:
        """A look-up before its first report.

        Raises:
            InputError: There is no such table, or it lacks the architecture.
        """
        return Lookup(self.recording(trial), str(trial.architecture))

    def recording(self, trial: Trial) -> Recording:
        """All that the look-up will report.

        Raises:
            InputError: There is no such table, or it lacks the architecture.
        """
        if trial.architecture is None or trial.table is None:
            lack = "architecture" if trial.architecture is None else "table"
            raise InputError(f"workload query_table: the trial has no {lack}; name one in the configuration")
        readings = _readings(trial.table, self)
        return readings.recording(readings.table.space.index(trial.architecture), trial.seed)


class Lookup:
    """The training of one architecture, played back.

    Args:
        recording: What to play.
        architecture: Whose it is.
    """

    def __init__(self, recording: Recording, architecture: str) -> None:
        self._recording = recording
        self._architecture = architecture
        self._next = 0

    @property
    def done(self) -> bool:
        """Whether the last epoch was reported."""
        return self._next == len(self._recording)

    def step(self) -> Report:
        """The next report."""
        if self.done:
            raise RuntimeError("all epochs are over")
        self._next += 1
        report = self._recording.report(self._next - 1)
        return replace(report, metrics=dict(report.metrics))

    def state_dict(self) -> dict[str, Any]:
        """Which report comes next."""
        return {"architecture": self._architecture, "next": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken.

        Raises:
            RaynasError: The state is of another architecture.
        """
        if state["architecture"] != self._architecture:
            raise RaynasError(f"the checkpoint is of {state['architecture']}; due is {self._architecture}")
        self._next = state["next"]


class _Readings:
    """What a process has read of a table: all that a run may ask for, so that a look-up is an index away."""

    def __init__(self, table: Table, options: QueryTable) -> None:
        self.table = table
        self._options = options
        self._part = part = table.part(options.dataset, options.schedule)
        last = options.epoch or part.epochs[-1]
        every = options.report_every
        reported = [
            epoch for epoch in part.epochs if epoch < last and every is not None and epoch % every == 0
        ]
        self._epochs = np.array([*reported, last])
        self._places = np.searchsorted(part.epochs, self._epochs)
        self._architectures = table.architectures(part.dataset, part.schedule)
        self._place_of = {index: place for place, index in enumerate(self._architectures.tolist())}
        self._values = {metric: self._read(metric) for metric in part.known if metric != COST}
        self._elapsed = self._read_elapsed()
        self._n_runs = self._elapsed.shape[1]
        self._recordings = Recordings(
            self._epochs,
            self._elapsed.reshape(-1, len(self._epochs)),
            {name: values.reshape(-1, len(self._epochs)) for name, values in self._values.items()},
        )

    def recording(self, index: int, trial_seed: int) -> Recording:
        """What an architecture's look-up reports."""
        place = self._place_of.get(index)
        if place is None:
            self.table.query(next(iter(self._values)), index)  # which says what is missing
            raise InputError(f"{self.table.path}: there is no run of architecture {index}")
        run = self._drawn(place, trial_seed) if self._options.seed == "draw" else 0
        return Recording(self._recordings, place * self._n_runs + run)

    def _drawn(self, place: int, trial_seed: int) -> int:
        losses = next(iter(self._values.values()))[place]
        there_are = np.flatnonzero(~np.isnan(losses).all(axis=1))
        return int(there_are[seeding.generator(trial_seed, "query_table").integers(len(there_are))])

    def _read(self, metric: str, *, every_epoch: bool = False) -> _Array:
        """``(n_architectures, n_runs, n_reports)``: of the seeds, of one of them, or of their mean."""
        curves = self.table.curves(
            metric, self._architectures, dataset=self._part.dataset, schedule=self._part.schedule
        )
        if not every_epoch:
            curves = curves[..., self._places]
        if self._options.seed == "draw":
            return curves
        if self._options.seed != "mean":
            return curves[:, [self._part.seeds.index(self._options.seed)]]
        runs = ~np.isnan(curves)
        sums, counts = np.where(runs, curves, 0).sum(axis=1), runs.sum(axis=1)
        means: _Array = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        return means[:, None]

    def _read_elapsed(self) -> _Array:
        """``(n_architectures, n_runs, n_reports)`` seconds of training until each report."""
        gaps: npt.NDArray[Any] = np.diff(self._part.epochs, prepend=0)
        model = self._options.cost
        if model is None and COST in self._part.known:
            seconds = gaps * np.nan_to_num(self._read(COST, every_epoch=True))
        else:
            model = model or CostModel(0.0)
            flops = self._read("flops_m", every_epoch=True) if model.mflop_s else np.zeros((1, 1, 1))
            n_runs = next(iter(self._values.values())).shape[1]
            shape = (len(self._architectures), n_runs, len(gaps))
            seconds = np.broadcast_to(gaps * (model.epoch_s + model.mflop_s * flops), shape)
        elapsed: _Array = np.cumsum(seconds, axis=-1)[..., self._places]
        return elapsed


# A process may be reused for trials of another run; two tables, so that it may alternate between two.
@lru_cache(maxsize=2)
def _readings(name: str, options: QueryTable) -> _Readings:
    from raynas.benchmarks import open_table

    return _Readings(open_table(name), options)


def _some(epochs: tuple[int, ...]) -> str:
    from raynas.benchmarks.schema import spans

    return spans(epochs)
