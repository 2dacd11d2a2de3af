"""Searches on any table at equal cost: random, evolution, local search, TPE, NA-RS and ASHA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raynas.assets import suggestion
from raynas.errors import InputError

if TYPE_CHECKING:
    from raynas.analysis.report import Report
    from raynas.studies import Progress


@dataclass(frozen=True)
class Baselines:
    """Random search, evolution, local search, TPE, NA-RS and ASHA at equal cost, on a simulated cluster.

    Attributes:
        table: Table of results: the name of one that travels with the package, or a file's path.
        dataset: Dataset whose final test accuracy is the truth (default: the signal's, if it has one).
        signal: Dataset whose validation the searches see (default: CIFAR-10, else the first that has it).
        schedule: Epochs for which the trainings were planned (default: the longest there is).
        signal_metric: Metric that the searches improve.
        mode: Whether they maximise it, max, or minimise it, min (default: max for an accuracy, else min).
        reading: What a trial reports: draw, one of the table's trainings; or mean, over all of them.
        budget: Epochs that each search may train, in full trainings.
        repeats: Searches of each method, with seeds that follow each other.
        seed: Of the first repeat.
        workers: Of the simulated cluster.
        n_nbr: Architectures that NA-RS evaluates in a neighborhood, the reference included.
        epoch_s: Seconds that an epoch counts, for a table without costs (default: the table's own).
        fractions: Parts of the budget at which the methods are compared; the whole of it is one anyway.
        methods: Which to run beside random search, tpe or asha_stopping for example (default: all).
    """

    table: str = "digits"
    dataset: str | None = None
    signal: str | None = None
    schedule: int | None = None
    signal_metric: str = "valid_accuracy_pct"
    mode: str | None = None
    reading: str = "draw"
    budget: int = 300
    repeats: int = 20
    seed: int = 0
    workers: int = 1
    n_nbr: int = 10
    epoch_s: float | None = None
    fractions: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from raynas.studies._baselines_methods import NAMES

        for name in ("budget", "repeats", "workers", "n_nbr"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} must be 1 or more")
        for name, value, choices in (
            ("mode", self.mode, (None, "max", "min")),
            ("reading", self.reading, ("draw", "mean")),
        ):
            if value not in choices:
                raise InputError(f"{name}: {value} must be {' or '.join(filter(None, choices))}")
        for fraction in self.fractions:
            if not 0 < fraction <= 1:
                raise InputError(f"fractions: {fraction} must be above 0 and at most 1, the whole budget")
        for method in self.methods:
            if method not in NAMES:
                hint = suggestion(method, list(NAMES))
                raise InputError(f"methods: no method '{method}'{hint} Available: {', '.join(NAMES)}")
        if self.epoch_s is not None and not 0 < self.epoch_s < float("inf"):
            raise InputError(f"epoch_s: {self.epoch_s} must be positive and finite")
        object.__setattr__(self, "fractions", tuple(sorted({*self.fractions, 1.0})))

    @property
    def name(self) -> str:
        return f"baselines-{Path(self.table).stem}"

    def run(self, progress: Progress) -> Report:
        from raynas.benchmarks import open_table
        from raynas.studies import _baselines_experiments, _baselines_table
        from raynas.studies._baselines_methods import RANDOM, methods
        from raynas.studies._baselines_sections import report

        material = _baselines_table.read(open_table(self.table), self)
        chosen = [
            method
            for method in methods(self)
            if method.name == RANDOM or not self.methods or method.name in self.methods
        ]
        able = [method for method in chosen if not (method.stops_early and material.no_early_stopping)]
        frames = _baselines_experiments.run(material, able, self, progress)
        progress("drawing figures")
        return report(material, chosen, frames, self)
