"""Differentiable searches on a table: what each preset's cell is worth, and how it came to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raynas.errors import InputError
from raynas.studies._pieces import NOTHING_KEPT, Pieces

if TYPE_CHECKING:
    from raynas.analysis.report import Report
    from raynas.studies import Progress


@dataclass(frozen=True)
class Differentiable:
    """Every differentiable preset against random cells and plain DARTS, its cells looked up in a table.

    Attributes:
        table: Table of results: the name of one that travels with the package, or a file's path.
        dataset: Dataset whose final test accuracy is the truth (default: CIFAR-10, else the first that has
            it).
        images: Dataset that the supernets train on.
        methods: Presets, by the names of their configurations; plain DARTS is always one of them (default:
            every shipped differentiable search on NAS-Bench-201).
        seeds: Searches of each preset, with seeds that follow each other.
        seed: The first of them.
        epochs: Epochs of a search; what a preset counts in epochs is scaled from its own number of them.
        batch_size: Images of a training batch and of a validation batch.
        channels: Channels of the supernet's first stage.
        cells: Cells of the supernet a stage.
        alpha_lr: Learning rate of the architecture parameters where a preset has the default of 3e-4; other
            presets keep their ratio to it.
        max_batches: Batches that an epoch and an evaluation end with, to try things out (default: all).
        random_cells: Random cells, drawn with replacement from the table.
        processes: Searches at a time, each with one thread.
    """

    table: str = "digits"
    dataset: str | None = None
    images: str = "digits"
    methods: tuple[str, ...] = ()
    seeds: int = 5
    seed: int = 0
    epochs: int = 20
    batch_size: int = 32
    channels: int = 8
    cells: int = 1
    alpha_lr: float = 3e-3
    max_batches: int | None = None
    random_cells: int = 1000
    processes: int = 1

    def __post_init__(self) -> None:
        # A batch norm needs two images where they have shrunk to a pixel.
        at_least = {"batch_size": 2}
        counts = ("seeds", "epochs", "batch_size", "channels", "cells", "random_cells", "processes")
        for name in (*counts, *(("max_batches",) if self.max_batches is not None else ())):
            if getattr(self, name) < (least := at_least.get(name, 1)):
                raise InputError(f"{name}: {getattr(self, name)} must be {least} or more")
        if not 0 < self.alpha_lr < float("inf"):
            raise InputError(f"alpha_lr: {self.alpha_lr} must be positive and finite")

    @property
    def name(self) -> str:
        return f"differentiable-{Path(self.table).stem}"

    def run(self, progress: Progress, pieces: Pieces = NOTHING_KEPT) -> Report:
        from raynas.benchmarks import open_table
        from raynas.studies import (
            _differentiable_frames,
            _differentiable_presets,
            _differentiable_searches,
            _differentiable_sections,
            _differentiable_table,
        )

        truth = _differentiable_table.read(open_table(self.table), self)
        presets = _differentiable_presets.read(self, truth.table.about.space)
        progress(f"{len(presets)} presets with {self.seeds} seeds: {len(presets) * self.seeds} searches")
        searches = _differentiable_searches.search_all(
            presets,
            range(self.seed, self.seed + self.seeds),
            processes=self.processes,
            progress=progress,
            pieces=pieces,
        )
        progress("drawing figures")
        frames = _differentiable_frames.collected(presets, searches, truth)
        return _differentiable_sections.report(presets, frames, truth, self)
