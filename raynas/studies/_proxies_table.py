"""What the study of proxies reads from a table: some architectures, their accuracies, and their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raynas.seeding import generator
from raynas.studies._images import find_images
from raynas.studies._truth import (
    HALVES,
    TEST,
    VALID,
    Floats,
    ceiling,
    final,
    rounded,
    tested,
    there,
    validated,
)

if TYPE_CHECKING:
    from raynas.benchmarks import Part, Table
    from raynas.data.images import DatasetSpec
    from raynas.spaces import Architecture
    from raynas.studies.proxies import Proxies

TEST_NAME, VALID_NAME = "test accuracy", "validation accuracy"
_FULL_SIZE = {"channels": 16, "cells": 5, "stages": 3}


@dataclass(frozen=True)
class Skeleton:
    """The network that a cell is put into.

    Attributes:
        channels: Of the first stage.
        cells: A stage.
        stages: Stages.
    """

    channels: int
    cells: int
    stages: int

    def __str__(self) -> str:
        counts = ((self.channels, "channel"), (self.cells, "cell"), (self.stages, "stage"))
        channels, cells, stages = (f"{n} {noun}{'s' * (n > 1)}" for n, noun in counts)
        return f"{channels}, {stages} of {cells}"


@dataclass(frozen=True, eq=False)
class Material:
    """What is scored, and what it is worth.

    Attributes:
        table: Where the truths are from.
        part: The trainings whose test accuracy is the first truth.
        n_there: Architectures that the table has.
        indices: ``(n,)`` ascending, of those that were drawn.
        architectures: The same.
        truths: ``(n,)`` final accuracies in percent by name, the mean over seeds.
        schedules: Epochs of the trainings that each truth is of.
        ceiling: Kendall's tau of the first truth between two seeds of the table; NaN if there is one seed.
        skeleton: Of the networks.
        images: Name of the dataset that a batch is of.
        spec: The dataset.
    """

    table: Table
    part: Part
    n_there: int
    indices: npt.NDArray[np.int64]
    architectures: list[Architecture]
    truths: dict[str, Floats]
    schedules: dict[str, int]
    ceiling: float
    skeleton: Skeleton
    images: str
    spec: DatasetSpec


def read(table: Table, options: Proxies) -> Material:
    """Reads a table, which may be of a part of the space.

    Raises:
        InputError: A dataset, its files, or the accuracies are not there.
    """
    part = tested(table, options.dataset)
    parts = {TEST_NAME: (TEST, part)}
    if (of_valid := validated(table, part)) is not None:
        parts[VALID_NAME] = (VALID, of_valid)
    known = there(table, part, of_valid)
    rng = generator(options.seed, "study", "proxies", "architectures")
    indices = np.sort(rng.choice(known, min(options.n, known.size), replace=False))
    truths = {name: rounded(final(table, metric, of, indices)) for name, (metric, of) in parts.items()}
    images, spec = _images(table, part.dataset, options)
    return Material(
        table=table,
        part=part,
        n_there=known.size,
        indices=indices,
        architectures=[table.space.at(int(index)) for index in indices],
        truths=truths,
        schedules={name: of.schedule for name, (_, of) in parts.items()},
        ceiling=ceiling(table, part, indices),
        skeleton=_skeleton(table, options),
        images=images,
        spec=spec,
    )


def _skeleton(table: Table, options: Proxies) -> Skeleton:
    """As asked for; else as the run that the table was built from says; else NAS-Bench-201's."""
    workload = table.about.constants.get("workload")
    made: Mapping[str, Any] = workload if isinstance(workload, Mapping) else {}
    sizes = {name: getattr(options, name) or int(made.get(name, usual)) for name, usual in _FULL_SIZE.items()}
    return Skeleton(**sizes)


def _images(table: Table, dataset: str, options: Proxies) -> tuple[str, DatasetSpec]:
    name = options.images or ("cifar10" if dataset in HALVES else dataset)
    at = "images" if options.images else str(table.path)
    return name, find_images(name, at=at, root=options.root)
