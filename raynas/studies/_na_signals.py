"""What the study of neighborhoods reads from a table: search signals at every fidelity, and the truths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.assets import suggestion
from raynas.benchmarks.schema import spans
from raynas.errors import InputError
from raynas.studies import _na_paper as paper

if TYPE_CHECKING:
    import pandas as pd

    from raynas.analysis.neighborhoods import Floats
    from raynas.benchmarks import Part, Table

MEAN_OF_SEEDS, ONE_SEED = "mean of seeds", "one seed"
ALL_SEEDS, OTHER_SEEDS = "all seeds", "other seeds"

# Metrics that are ground truth at the end of training, and what they add to the dataset's name.
_TRUTHS = {"test_accuracy_pct": "", "shifted_accuracy_pct": " shifted"}
_USUAL_SIGNALS = ("cifar10_valid", "cifar10-valid", "cifar10")
_USUAL_EPOCHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_MOST_EPOCHS = 6


@dataclass(frozen=True, eq=False)
class Signal:
    """What a search sees, and what its choices are worth.

    Attributes:
        schedule: Epochs for which the training was planned.
        epoch: Epochs trained when it was read.
        reading: ``mean of seeds``, over those that there are; or ``seed 0``, say.
        costs: ``(size,)``, lower is better.
        truths: ``(size,)`` final errors in percent by the truth's name, by whose seeds they are the mean of:
            ``all seeds``; ``other seeds`` where the reading's own run would be among them.
    """

    schedule: int
    epoch: int
    reading: str
    costs: Floats
    truths: dict[str, dict[str, Floats]]


@dataclass(frozen=True, eq=False)
class Material:
    """All that the experiments use.

    Attributes:
        signals: One a schedule, epoch and reading.
        dataset: Whose validation the signals are.
        quantity: What the signals are called.
        unit: Theirs.
        truths: ``(size,)`` final errors in percent, by name.
        parameters: ``(size,)`` millions; None where the table does not know them.
        agreement: How well seeds agree, as ``between_seeds`` gives it, with the schedule and what was read.
        notes: What was not possible, and why.
    """

    signals: list[Signal]
    dataset: str
    quantity: str
    unit: str
    truths: dict[str, Floats]
    parameters: Floats | None
    agreement: pd.DataFrame
    notes: list[str]


def read(
    table: Table, metric: str, *, signal: str | None, dataset: str | None, epochs: Sequence[int]
) -> Material:
    """Reads a table.

    Args:
        table: Complete for what is read: neighborhoods need every architecture.
        metric: Search signal; an accuracy becomes an error, anything else is minimised.
        signal: Dataset that it is of; None for CIFAR-10's validation split, or the first that has it.
        dataset: The one to take truths from; None for all.
        epochs: Fidelities; empty to choose some.

    Raises:
        InputError: The metric, a dataset or an architecture is not there.
    """
    for name in filter(None, (signal, dataset)):
        if name not in table.datasets:
            hint = suggestion(name, list(table.datasets))
            raise InputError(f"{table.path}: no dataset '{name}'{hint} There is: {', '.join(table.datasets)}")
    import pandas as pd

    of_signal = _signal_dataset(table, metric, signal)
    judges = _judges(table, dataset)
    parts = [part for part in table.parts if part.dataset == of_signal and metric in part.known]
    signals: list[Signal] = []
    notes: list[str] = []
    agreement = []
    for part in sorted(parts, key=lambda part: -part.schedule):
        chosen = _fidelities(part.known[metric], epochs)
        readings = _Readings.of(table, part, metric)
        signals += _signals(readings, chosen, judges)
        agreement.append(_agreement(readings, chosen))
        notes += _notes(readings, chosen, epochs)
    if not signals:
        there = "; ".join(f"{spans(part.known[metric])} of {part.schedule}" for part in parts)
        raise InputError(
            f"{table.path}: epochs: {metric} of {of_signal} is known at {there}; give some of these"
        )
    parameters = _parameters(table, [*parts, *(judge.part for judge in judges.values())])
    if parameters is None:
        notes.append("The table has no `parameters_m`, so the baseline 'parameters alone' is left out.")
    truths = {name: _final(judge, judge.part.seeds) for name, judge in judges.items()}
    quantity = paper.VALID if metric == "valid_accuracy_pct" else metric
    unit = "percent" if metric.endswith("_pct") else "nats" if metric.endswith("_loss") else ""
    return Material(
        signals, of_signal, quantity, unit, truths, parameters, pd.concat(agreement, ignore_index=True), notes
    )


@dataclass(frozen=True, eq=False)
class _Readings:
    """A metric of a part as costs, lower being better: 100 less it for an accuracy."""

    table: Table
    part: Part
    metric: str
    costs: Floats  # (size, n_seeds, n_epochs)

    @classmethod
    def of(cls, table: Table, part: Part, metric: str) -> _Readings:
        n_there = table.architectures(part.dataset, part.schedule).size
        if n_there < table.space.size:
            raise InputError(
                f"{table.path}: {part.dataset} has runs of {n_there:,} of {table.space.size:,} "
                "architectures; a study of neighborhoods needs all of them"
            )
        curves = table.curves(metric, dataset=part.dataset, schedule=part.schedule)
        costs = 100.0 - curves if metric.endswith("accuracy_pct") else curves
        return cls(table, part, metric, costs)

    def at(self, epoch: int, seeds: Sequence[int]) -> Floats:
        """``(size,)`` mean over the runs that there are of some seeds."""
        places = [self.part.seeds.index(seed) for seed in seeds]
        costs = self.costs[:, places, self.part.epochs.index(epoch)]
        known = ~np.isnan(costs)
        if not (n_known := known.sum(axis=1)).all():
            missing = int(np.flatnonzero(n_known == 0)[0])
            raise InputError(
                f"{self.table.path}: {self.part.dataset}, schedule of {self.part.schedule} epochs: there is "
                f"no {self.metric} at epoch {epoch} of architecture {missing}; a study of neighborhoods "
                "needs all of them"
            )
        # Sums of the same counts in another order differ in the last bits, and would break ties.
        mean: Floats = np.round(np.where(known, costs, 0.0).sum(axis=1) / n_known, 9)
        return mean

    def complete(self, epoch: int) -> list[int]:
        """Seeds with a run of every architecture."""
        column = self.part.epochs.index(epoch)
        return [
            seed
            for place, seed in enumerate(self.part.seeds)
            if not np.isnan(self.costs[:, place, column]).any()
        ]


def _signals(readings: _Readings, epochs: Sequence[int], judges: Mapping[str, _Readings]) -> list[Signal]:
    part = readings.part
    truths = {name: _final(judge, judge.part.seeds) for name, judge in judges.items()}
    made = []
    for epoch in epochs:
        mean = readings.at(epoch, part.seeds)
        made.append(Signal(part.schedule, epoch, MEAN_OF_SEEDS, mean, {ALL_SEEDS: truths}))
        for seed in readings.complete(epoch) if len(part.seeds) > 1 else ():
            others = [other for other in part.seeds if other != seed]
            own = {name: _final(judge, others) for name, judge in judges.items() if judge.part is part}
            judged = {ALL_SEEDS: truths, **({OTHER_SEEDS: own} if own else {})}
            made.append(Signal(part.schedule, epoch, f"seed {seed}", readings.at(epoch, [seed]), judged))
    return made


def _final(judge: _Readings, seeds: Sequence[int]) -> Floats:
    return judge.at(judge.part.known[judge.metric][-1], seeds)


def _signal_dataset(table: Table, metric: str, wanted: str | None) -> str:
    having = [part.dataset for part in table.parts if metric in part.known]
    if not having or (wanted is not None and wanted not in having):
        known = sorted({name for part in table.parts for name in part.known})
        lacking = f"{wanted} lacks" if wanted else "no dataset has"
        raise InputError(
            f"{table.path}: {lacking} {metric}, the search signal; the table's metrics are "
            f" {', '.join(known)}; give another signal_metric or signal"
        )
    usual = [wanted, *_USUAL_SIGNALS]
    return next((name for name in usual if name in having), having[0]) or having[0]


def _judges(table: Table, dataset: str | None) -> dict[str, _Readings]:
    """The truths by name, each of its dataset's longest schedule."""
    parts: dict[str, Part] = {}
    for part in sorted(table.parts, key=lambda part: part.schedule):
        if "test_accuracy_pct" in part.known and dataset in (None, part.dataset):
            parts[part.dataset] = part
    if dataset is None and "cifar10" in parts:
        # The benchmark's own split trains on half of CIFAR-10; the truth is the training on all of it.
        for name in set(_USUAL_SIGNALS) & set(parts) - {"cifar10"}:
            del parts[name]
    if not parts:
        lacking = f"{dataset} lacks" if dataset else "no dataset has"
        raise InputError(f"{table.path}: {lacking} test_accuracy_pct, which is the truth; give another")
    ordered = [name for name in table.datasets if name in parts]
    return {
        f"{name}{suffix}": _Readings.of(table, parts[name], metric)
        for metric, suffix in _TRUTHS.items()
        for name in ordered
        if metric in parts[name].known
    }


def _parameters(table: Table, parts: Sequence[Part]) -> Floats | None:
    for part in parts:
        if "parameters_m" in part.known:
            return table.query("parameters_m", dataset=part.dataset, schedule=part.schedule)
    return None


def _fidelities(known: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """The epochs asked for that there are; else the paper's, else some that double or so, and the last."""
    if wanted:
        return [epoch for epoch in sorted(set(wanted)) if epoch in known]
    usual = paper.EPOCHS if any(epoch in known for epoch in paper.EPOCHS) else _USUAL_EPOCHS
    chosen = sorted({*(epoch for epoch in usual if epoch in known), known[-1]})
    if len(chosen) < min(3, len(known)):
        chosen = sorted({known[round(place)] for place in np.linspace(0, len(known) - 1, _MOST_EPOCHS)})
    return chosen[-_MOST_EPOCHS:]


def _notes(readings: _Readings, chosen: Sequence[int], wanted: Sequence[int]) -> list[str]:
    part, metric = readings.part, readings.metric
    where = f"{part.dataset}, schedule of {part.schedule} epochs"
    known = part.known[metric]
    notes = []
    if absent := [epoch for epoch in wanted if epoch not in known]:
        notes.append(
            f"{where}: `{metric}` is not known at the epochs {spans(sorted(absent))}, as was asked for."
        )
    if len(known) == 1:
        notes.append(
            f"{where}: `{metric}` is known at epoch {known[0]} only, so there are no earlier fidelities, and "
            "nothing can be said of early stopping."
        )
    if len(part.seeds) == 1:
        notes.append(f"{where}: there is one seed, so how far seeds agree is not known.")
    elif not all(readings.complete(epoch) for epoch in chosen):
        notes.append(f"{where}: no seed has a run of every architecture, so no seed is read alone.")
    return notes


def _agreement(readings: _Readings, chosen: Sequence[int]) -> pd.DataFrame:
    from raynas.analysis.rank_correlation import between_seeds

    frame = between_seeds(readings.costs, readings.part.epochs, chosen=chosen)
    return frame.assign(
        schedule=readings.part.schedule, dataset=readings.part.dataset, metric=readings.metric
    )
