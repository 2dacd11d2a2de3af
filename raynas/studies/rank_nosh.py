"""RANK-NOSH on any table: the epochs that pausing saves, eight other searches, and what each part does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raynas.assets import suggestion
from raynas.errors import InputError

if TYPE_CHECKING:
    from raynas.analysis.report import Report
    from raynas.studies import Progress
    from raynas.studies.baselines import Baselines


@dataclass(frozen=True)
class RankNosh:
    """RANK-NOSH against its predictor without pausing and seven others, by epochs trained; and its ablations.

    Attributes:
        table: Table of results with learning curves: the name of one that travels with the package, or a
            file's path.
        dataset: Dataset whose final test accuracy is the truth (default: the signal's, if it has one).
        signal: Dataset whose validation the searches see (default: CIFAR-10, else the first that has it).
        schedule: Epochs for which the trainings were planned (default: the longest there is).
        signal_metric: Metric that the searches improve.
        mode: Whether they maximise it, max, or minimise it, min (default: max for an accuracy, else min).
        reading: What a trial reports: draw, one of the table's trainings; or mean, over all of them.
        budget: Epochs that each search may train, in full trainings.
        repeats: Searches of each method, with seeds that follow each other.
        ablation_repeats: Searches of each variant of RANK-NOSH, the first of those seeds; 0 for none.
        seed: Of the first repeat.
        levels: Epochs of RANK-NOSH's levels, increasing to the schedule's end (default: by the schedule).
        r: Share of a level that the next one has room for.
        n_first: Architectures of the first batch.
        n_batch: Architectures of every later batch.
        n_pool: Architectures of RANK-NOSH in all.
        hidden: Width of the predictor.
        fit_epochs: Passes over the pairs in a fit of the predictor.
        learning_rate: Of a fit.
        proxies: Level 0 by each of these zero-cost proxies, which score networks as large as the table's.
        images: Dataset that the proxies see a batch of (default: the one that the truth is of).
        root: Folder of the images' files (default: the dataset's own).
        methods: Which to run beside the predictor with and without pausing (default: all).
        ablations: Which of levels, ratio, loss, encoder and level0 (default: all).
    """

    table: str = "digits"
    dataset: str | None = None
    signal: str | None = None
    schedule: int | None = None
    signal_metric: str = "valid_accuracy_pct"
    mode: str | None = None
    reading: str = "draw"
    budget: int = 120
    repeats: int = 20
    ablation_repeats: int = 10
    seed: int = 0
    levels: tuple[int, ...] = ()
    r: float = 0.5
    n_first: int = 20
    n_batch: int = 10
    n_pool: int = 100
    hidden: int = 64
    fit_epochs: int = 50
    learning_rate: float = 0.003
    proxies: tuple[str, ...] = ("params", "synflow")
    images: str | None = None
    root: str | None = None
    methods: tuple[str, ...] = ()
    ablations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from raynas.lookup import available
        from raynas.studies._rank_nosh_methods import ABLATIONS, NAMES, components

        if not 0 <= self.ablation_repeats <= self.repeats:
            raise InputError(
                f"ablation_repeats: {self.ablation_repeats} must be from 0 to the {self.repeats} repeats, "
                "since variants are compared with RANK-NOSH seed by seed"
            )
        proxies = available("raynas.predictors.zero_cost")
        for field, noun, choices in (
            ("methods", "method", NAMES),
            ("ablations", "ablation", ABLATIONS),
            ("proxies", "proxy", proxies),
        ):
            for name in getattr(self, field):
                if name not in choices and not (field == "proxies" and ":" in name):
                    hint = suggestion(name, list(choices))
                    raise InputError(f"{field}: no {noun} '{name}'{hint} Available: {', '.join(choices)}")
        try:
            components(self, self.levels or (1,))
        except ValueError as error:  # a component refuses what it was given
            raise InputError(str(error)) from error
        _ = self.searched

    @property
    def name(self) -> str:
        return f"rank-nosh-{Path(self.table).stem}"

    @property
    def searched(self) -> Baselines:
        """What the searches see and may spend, one epoch a second on one worker."""
        from raynas.studies.baselines import Baselines

        return Baselines(
            table=self.table,
            dataset=self.dataset,
            signal=self.signal,
            schedule=self.schedule,
            signal_metric=self.signal_metric,
            mode=self.mode,
            reading=self.reading,
            budget=self.budget,
            repeats=self.repeats,
            seed=self.seed,
            epoch_s=1.0,
        )

    def run(self, progress: Progress) -> Report:
        from raynas.benchmarks import open_table
        from raynas.studies import _baselines_table, _rank_nosh_experiments
        from raynas.studies._rank_nosh_plan import planned
        from raynas.studies._rank_nosh_sections import report

        material = _baselines_table.read(open_table(self.table), self.searched)
        plan = planned(material, self)
        frames = _rank_nosh_experiments.run(material, plan, self, progress)
        progress("drawing figures")
        return report(material, plan, frames, self)
