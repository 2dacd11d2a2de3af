"""What the comparison reads from a table: which training is searched, what its choices are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.assets import suggestion
from raynas.benchmarks.schema import spans
from raynas.errors import InputError
from raynas.search.asktell import Objective

if TYPE_CHECKING:
    from raynas.analysis.trajectories import Floats
    from raynas.benchmarks import Part, Table
    from raynas.studies.baselines import Baselines

TRUTH = "test_accuracy_pct"
_COST = "cost_s"
_CIFAR10 = ("cifar10_valid", "cifar10-valid", "cifar10")


@dataclass(frozen=True, eq=False)
class Material:
    """What is searched.

    Attributes:
        table: Where it is looked up.
        part: The trainings that a search plays.
        objective: What it improves.
        judge: The trainings whose final test accuracy is the truth.
        truth: ``(size,)`` percent, by the architecture's index; the mean over all seeds.
        no_early_stopping: Why trials can be read at their end only; empty if they can be read before.
    """

    table: Table
    part: Part
    objective: Objective
    judge: Part
    truth: Floats
    no_early_stopping: str

    @property
    def last(self) -> int:
        """Epochs of a full training."""
        return self.part.epochs[-1]


def read(table: Table, options: Baselines) -> Material:
    """Reads a table.

    Raises:
        InputError: A dataset, schedule, metric, cost or architecture is not there.
    """
    metric = options.signal_metric
    mode = options.mode or ("max" if metric.endswith("accuracy_pct") else "min")
    part = _part(table, metric, options.signal, options.schedule, _CIFAR10)
    judge = _judge(table, options.dataset, part)
    _check(table, part, metric, timed=options.epoch_s is not None)
    last = judge.known[TRUTH][-1]
    truth = table.query(TRUTH, dataset=judge.dataset, schedule=judge.schedule, epoch=last)
    # The readings that a search may see at the end of a training; the query refuses a gap in them.
    table.query(metric, dataset=part.dataset, schedule=part.schedule)
    objective = Objective(metric, "max" if mode == "max" else "min")
    return Material(table, part, objective, judge, np.round(truth, 9), _why_no_rungs(part, metric, options))


def _part(
    table: Table, metric: str, dataset: str | None, schedule: int | None, usual: tuple[str, ...]
) -> Part:
    if dataset is not None and dataset not in table.datasets:
        hint = suggestion(dataset, list(table.datasets))
        raise InputError(f"{table.path}: no dataset '{dataset}'{hint} There is: {', '.join(table.datasets)}")
    having = [part for part in table.parts if metric in part.known and dataset in (None, part.dataset)]
    if not having:
        known = sorted({name for part in table.parts for name in part.known})
        raise InputError(
            f"{table.path}: {dataset or 'no dataset'} {'lacks' if dataset else 'has'} {metric}; the table's "
            f"metrics are {', '.join(known)}"
        )
    names = {part.dataset for part in having}
    wanted = dataset or next((name for name in usual if name in names), having[0].dataset)
    parts = [part for part in having if part.dataset == wanted and schedule in (None, part.schedule)]
    if not parts:
        there = spans(sorted(part.schedule for part in having if part.dataset == wanted))
        raise InputError(
            f"{table.path}: schedule: {wanted} has no {metric} with a schedule of {schedule} epochs; "
            f"there are schedules of {there}"
        )
    return max(parts, key=lambda part: part.schedule)


def _judge(table: Table, dataset: str | None, part: Part) -> Part:
    """The trainings that say what an architecture is worth: all of CIFAR-10 for its validation split."""
    same = (part.dataset, *_CIFAR10)
    usual = tuple(reversed(_CIFAR10)) if part.dataset in _CIFAR10 else same
    return _part(table, TRUTH, dataset, None, usual)


def _check(table: Table, part: Part, metric: str, *, timed: bool) -> None:
    where = f"{table.path}: {part.dataset}, schedule of {part.schedule} epochs"
    if part.known[metric][-1] != part.epochs[-1]:
        raise InputError(
            f"{where}: there is no {metric} at its end, epoch {part.epochs[-1]}, which a search needs"
        )
    if _COST not in part.known and not timed:
        raise InputError(
            f"{where}: it has no {_COST}, the seconds of an epoch, so searches cannot be timed; give "
            "epoch_s, the seconds that an epoch should count"
        )
    n_there = table.architectures(part.dataset, part.schedule).size
    if n_there < table.space.size:
        raise InputError(
            f"{where}: there are runs of {n_there:,} of {table.space.size:,} architectures; a search may "
            "propose any of them"
        )


def _why_no_rungs(part: Part, metric: str, options: Baselines) -> str:
    from raynas.search.scheduler.asha import Asha

    last, rung = part.epochs[-1], Asha().grace
    stops = set()
    while rung < last:
        stops.add(next(epoch for epoch in part.epochs if epoch >= rung))
        rung *= Asha().eta
    known = part.known[metric]
    if not stops - {last}:
        return f"the table knows epoch {spans(part.epochs)} only, so there is nothing to stop early by"
    if stops - set(known):
        return f"the table knows {metric} at epochs {spans(known)}, not at all those of ASHA's rungs"
    if options.epoch_s is None and part.known[_COST] != part.epochs:
        return f"the table knows {_COST} at epochs {spans(part.known[_COST])}, so early epochs have no cost"
    return ""
