"""GeNAS (Jeong et al., IJCAI 2023) on any table: how well flatness in a supernet ranks architectures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.studies._pieces import NOTHING_KEPT, Pieces

if TYPE_CHECKING:
    from raynas.analysis.report import Report
    from raynas.studies import Progress

MEASURES = ("accuracy", "angle")


@dataclass(frozen=True)
class Genas:
    """Rank correlation of flatness, angle and accuracy in trained supernets with final accuracy.

    Attributes:
        supernet: Trained supernets, alike but for their seeds: directories of runs of train_supernet, or of
            supernets. Make one by `raynas run spos_supernet_digits`.
        table: Table of results: the name of one that travels with the package, or a file's path.
        dataset: Dataset whose final test accuracy is the truth (default: the supernet's own, else CIFAR-10,
            else the first that has it).
        images: Dataset that sub-networks are recalibrated and measured on (default: the supernet's own).
        root: Folder of the images' files (default: where they were when the supernet was trained).
        architectures: Drawn at random from those in the table.
        variants: How many of them are measured in all variants of the noise.
        hessian: How many of them are measured along the Hessian's first eigenvector, which takes as long as
            dozens of other measurements.
        group: Architectures in each of the groups whose losses are drawn over the noise.
        n_valid: Validation images, drawn once for each supernet (default: all).
        measures: What is measured beside flatness.
        seed: Of all draws.
        device: Where sub-networks are computed, as PyTorch writes it.
        processes: Processes that measure, each with one thread.
    """

    supernet: tuple[str, ...] = ()
    table: str = "digits"
    dataset: str | None = None
    images: str | None = None
    root: str | None = None
    architectures: int = 1000
    variants: int = 300
    hessian: int = 50
    group: int = 10
    n_valid: int | None = None
    measures: tuple[str, ...] = MEASURES
    seed: int = 0
    device: str = "cpu"
    processes: int = 1

    def __post_init__(self) -> None:
        if not self.supernet:
            raise InputError(
                "supernet: is missing; name the directory of a run that trained one, such as that of "
                "`raynas run spos_supernet_digits`"
            )
        at_least = {"architectures": 2, "variants": 0, "hessian": 0, "group": 0, "processes": 1, "n_valid": 1}
        for name, least in at_least.items():
            if (count := getattr(self, name)) is not None and count < least:
                raise InputError(f"{name}: {count} must be {least} or more")
        for name in self.measures:
            if name not in MEASURES:
                hint = suggestion(name, list(MEASURES))
                raise InputError(
                    f"measures: nothing called '{name}'{hint} Beside flatness there is: {', '.join(MEASURES)}"
                )

    @property
    def name(self) -> str:
        return f"genas-{Path(self.table).stem}"

    def run(self, progress: Progress, pieces: Pieces = NOTHING_KEPT) -> Report:
        from raynas.benchmarks import open_table
        from raynas.studies import (
            _genas_correlations,
            _genas_landscape,
            _genas_material,
            _genas_measuring,
            _genas_probes,
            _genas_sections,
        )

        material = _genas_material.read(open_table(self.table), self)
        progress(
            f"{len(material.architectures):,} architectures in each of {len(material.supernets)} supernets"
        )
        readings = _genas_measuring.measure(
            material,
            material.architectures,
            _genas_probes.probes(self),
            progress=progress,
            pieces=pieces,
        )
        groups = _genas_landscape.groups(material, self.group)
        progress(f"loss over the noise: {len(groups)} groups of architectures")
        landscape = _genas_landscape.measure(material, groups, readings, progress=progress)
        progress("correlating, drawing figures")
        correlations = _genas_correlations.correlations(material, readings, self)
        return _genas_sections.report(material, readings, correlations, landscape, self)
