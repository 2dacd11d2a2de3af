"""Neighborhood-aware NAS on any table: every NAS-Bench-201 experiment of Wang et al. (BMVC 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raynas.errors import InputError

if TYPE_CHECKING:
    from raynas.analysis.report import Report
    from raynas.studies import Progress

_PAPERS_ORDER = ("mean", "median", "max", "variance")


@dataclass(frozen=True)
class NA:
    """Flat against sharp minima, rank correlation, neighbor variance, ablations, NA-RS against random search.

    Attributes:
        table: Table of results: the name of one that travels with the package, or a file's path.
        dataset: Dataset whose final test error is the truth (default: each that has one).
        signal: Dataset whose validation is the search signal (default: CIFAR-10, else the first that has it).
        signal_metric: Metric of the search signal; an accuracy is searched as an error.
        epochs: Epochs at which the signal is read (default: some that the table holds).
        repeats: Repeated searches, samples of architectures and decisions of ties.
        seed: Of all draws.
        d: Radius of a neighborhood, in edges.
        n_nbr: Architectures evaluated in a neighborhood, the reference included; one or more numbers.
        n_steps: References of a search, the paper's T.
        n_top: Architectures in a list of the best.
        lam: Weight of the standard deviation in the aggregator 'variance'.
    """

    table: str = "digits"
    dataset: str | None = None
    signal: str | None = None
    signal_metric: str = "valid_accuracy_pct"
    epochs: tuple[int, ...] = ()
    repeats: int = 500
    seed: int = 0
    d: int = 1
    n_nbr: tuple[int, ...] = (10, 25)
    n_steps: int = 100
    n_top: int = 100
    lam: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("repeats", 1), ("n_steps", 1), ("n_top", 2)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} must be {least} or more")
        if not self.n_nbr or len(set(self.n_nbr)) < len(self.n_nbr):
            raise InputError(f"n_nbr: {self.n_nbr} must be one or more different numbers")

    @property
    def name(self) -> str:
        return f"na-{Path(self.table).stem}"

    @property
    def as_published(self) -> bool:
        """Whether the options are the paper's, so that its figures may stand beside."""
        return (self.d, self.n_steps, self.n_top, self.lam) == (1, 100, 100, 1.0)

    def run(self, progress: Progress) -> Report:
        from raynas.analysis import neighborhoods
        from raynas.benchmarks import open_table
        from raynas.lookup import available, build
        from raynas.studies import _na_experiments, _na_sections, _na_signals

        slot = "raynas.flatness.aggregator"
        order = sorted(available(slot), key=lambda name: (*_PAPERS_ORDER, name).index(name))
        options = {"variance": {"lam": self.lam}}
        aggregators = {name: build(slot, name, **options.get(name, {})) for name in order}
        table = open_table(self.table)
        members = neighborhoods.balls(table.space, self.d)
        material = _na_signals.read(
            table, self.signal_metric, signal=self.signal, dataset=self.dataset, epochs=self.epochs
        )
        frames = _na_experiments.run(material, members, aggregators, self, progress)
        progress("drawing figures")
        return _na_sections.report(table, material, members.shape[1], frames, self)
