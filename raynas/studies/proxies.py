"""Zero-cost proxies on any table: how well each ranks architectures, and whether it beats their size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raynas.assets import suggestion
from raynas.errors import InputError

if TYPE_CHECKING:
    from raynas.analysis.report import Report
    from raynas.studies import Progress

BASELINES = ("params", "flops")


@dataclass(frozen=True)
class Proxies:
    """Rank correlation of every zero-cost proxy with final accuracy; parameters and multiply-adds first.

    Attributes:
        table: Table of results: the name of one that travels with the package, or a file's path.
        dataset: Dataset whose final test accuracy is the truth (default: CIFAR-10, else the first that has
            it).
        images: Dataset that the proxies see a batch of (default: the one that the truth is of).
        root: Folder of the images' files (default: the dataset's own).
        proxies: Which, beside params and flops (default: all).
        n: Architectures, drawn at random from those in the table.
        repeats: Batches, each with other first weights.
        batch_size: Images of a batch.
        channels: Channels of the first stage (default: as the table was made, else NAS-Bench-201's 16).
        cells: Cells a stage (default: as the table was made, else NAS-Bench-201's 5).
        stages: Stages (default: as the table was made, else NAS-Bench-201's 3).
        resamples: Of the architectures, with replacement, for the standard deviation of a correlation.
        seed: Of all draws.
        device: Where networks are scored, as PyTorch writes it.
    """

    table: str = "digits"
    dataset: str | None = None
    images: str | None = None
    root: str | None = None
    proxies: tuple[str, ...] = ()
    n: int = 300
    repeats: int = 3
    batch_size: int = 32
    channels: int | None = None
    cells: int | None = None
    stages: int | None = None
    resamples: int = 200
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        from raynas.lookup import available

        # A batch norm needs two images where they have shrunk to a pixel, and a correlation two of anything.
        for name, least in (("n", 2), ("repeats", 1), ("batch_size", 2), ("resamples", 2)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} must be {least} or more")
        for name in ("channels", "cells", "stages"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise InputError(f"{name}: {count} must be 1 or more")
        choices = available("raynas.predictors.zero_cost")
        for name in self.proxies:
            if ":" not in name and name not in choices:
                hint = suggestion(name, choices)
                raise InputError(f"proxies: no proxy '{name}'{hint} Available: {', '.join(choices)}")

    @property
    def name(self) -> str:
        return f"proxies-{Path(self.table).stem}"

    @property
    def names(self) -> list[str]:
        """Of all proxies, the baselines first, each once."""
        from raynas.lookup import available

        return list(dict.fromkeys([*BASELINES, *(self.proxies or available("raynas.predictors.zero_cost"))]))

    def run(self, progress: Progress) -> Report:
        from raynas.benchmarks import open_table
        from raynas.predictors.scoring import score_architectures
        from raynas.seeding import generator
        from raynas.studies import _proxies_correlations, _proxies_sections, _proxies_table

        material = _proxies_table.read(open_table(self.table), self)
        skeleton = material.skeleton
        progress(
            f"{len(material.indices):,} architectures, repeats: {self.repeats}; networks of {skeleton} on "
            f"{material.images}"
        )
        scored = score_architectures(
            self.names,
            material.architectures,
            material.spec,
            channels=skeleton.channels,
            cells=skeleton.cells,
            stages=skeleton.stages,
            batch_size=self.batch_size,
            seed=self.seed,
            device=self.device,
            repeats=self.repeats,
            progress=progress,
        )
        progress("correlating")
        frame = _proxies_correlations.correlations(
            scored.scores,
            material.truths,
            baselines=BASELINES,
            resamples=self.resamples,
            rng=generator(self.seed, "study", "proxies", "resamples"),
        )
        progress("drawing figures")
        return _proxies_sections.report(material, scored, frame, self)
