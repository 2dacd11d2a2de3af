"""What the study of proxies reads from a table: some architectures, their accuracies, and their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.lookup import available, find
from raynas.seeding import generator

if TYPE_CHECKING:
    from raynas.benchmarks import Part, Table
    from raynas.data.images import DatasetSpec
    from raynas.spaces import Architecture
    from raynas.studies.proxies import Proxies

TEST, VALID = "test_accuracy_pct", "valid_accuracy_pct"
TEST_NAME, VALID_NAME = "test accuracy", "validation accuracy"
_DATASETS = "raynas.data.dataset"
_HALVES = ("cifar10_valid", "cifar10-valid")  # NAS-Bench-201's CIFAR-10, trained on half of it
_FULL_SIZE = {"channels": 16, "cells": 5, "stages": 3}

Floats = npt.NDArray[np.float64]


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
    tested = _tested(table, options.dataset)
    parts = {TEST_NAME: (TEST, tested)}
    if (validated := _validated(table, tested)) is not None:
        parts[VALID_NAME] = (VALID, validated)
    there = table.architectures(tested.dataset, tested.schedule)
    for _, part in parts.values():
        there = np.intersect1d(there, table.architectures(part.dataset, part.schedule))
    if there.size < 2:
        raise InputError(f"{table.path}: {there.size} architectures; a rank correlation needs 2 or more")
    rng = generator(options.seed, "study", "proxies", "architectures")
    indices = np.sort(rng.choice(there, min(options.n, there.size), replace=False))
    truths = {
        name: np.round(_final(table, metric, part, indices), 9) for name, (metric, part) in parts.items()
    }
    images, spec = _images(table, tested.dataset, options)
    return Material(
        table=table,
        part=tested,
        n_there=there.size,
        indices=indices,
        architectures=[table.space.at(int(index)) for index in indices],
        truths=truths,
        schedules={name: part.schedule for name, (_, part) in parts.items()},
        ceiling=_ceiling(table, tested, indices),
        skeleton=_skeleton(table, options),
        images=images,
        spec=spec,
    )


def _tested(table: Table, dataset: str | None) -> Part:
    if dataset is not None and dataset not in table.datasets:
        hint = suggestion(dataset, list(table.datasets))
        raise InputError(f"{table.path}: no dataset '{dataset}'{hint} There is: {', '.join(table.datasets)}")
    having = [part for part in table.parts if TEST in part.known and dataset in (None, part.dataset)]
    if not having:
        lacking = f"{dataset} lacks" if dataset else "no dataset has"
        raise InputError(f"{table.path}: {lacking} {TEST}, which is the truth; give another table or dataset")
    names = [part.dataset for part in having]
    wanted = "cifar10" if "cifar10" in names else names[0]
    return max((part for part in having if part.dataset == wanted), key=lambda part: part.schedule)


def _validated(table: Table, tested: Part) -> Part | None:
    """The trainings with a validation accuracy: the same, or those on half of CIFAR-10 where it is all."""
    twins = (tested.dataset, *(_HALVES if tested.dataset == "cifar10" else ()))
    for name in twins:
        having = [part for part in table.parts if part.dataset == name and VALID in part.known]
        if having:
            return next(
                (part for part in having if part.schedule == tested.schedule),
                max(having, key=lambda part: part.schedule),
            )
    return None


def _final(table: Table, metric: str, part: Part, indices: npt.NDArray[np.int64]) -> Floats:
    last = part.known[metric][-1]
    return table.query(metric, indices, dataset=part.dataset, schedule=part.schedule, epoch=last)


def _ceiling(table: Table, part: Part, indices: npt.NDArray[np.int64]) -> float:
    from raynas.analysis.rank_correlation import between_seeds

    curves = table.curves(TEST, indices, dataset=part.dataset, schedule=part.schedule)
    found = between_seeds(curves, part.epochs, chosen=[part.known[TEST][-1]])
    return float(found["tau"].iloc[0]) if len(found) else float("nan")


def _skeleton(table: Table, options: Proxies) -> Skeleton:
    """As asked for; else as the run that the table was built from says; else NAS-Bench-201's."""
    workload = table.about.constants.get("workload")
    made: Mapping[str, Any] = workload if isinstance(workload, Mapping) else {}
    sizes = {name: getattr(options, name) or int(made.get(name, usual)) for name, usual in _FULL_SIZE.items()}
    return Skeleton(**sizes)


def _images(table: Table, dataset: str, options: Proxies) -> tuple[str, DatasetSpec]:
    name = options.images or ("cifar10" if dataset in _HALVES else dataset)
    if name not in (choices := available(_DATASETS)):
        hint = suggestion(name, choices)
        said = "images" if options.images else f"{table.path}"
        raise InputError(
            f"{said}: no images of '{name}'{hint} Available: {', '.join(choices)}; give one as images"
        )
    kind = find(_DATASETS, name)
    try:
        spec: DatasetSpec = kind(root=options.root) if options.root is not None else kind()
    except TypeError as error:
        raise InputError(
            f"images: {name} cannot be made of {'a root' if options.root else 'no options'} alone; give "
            "another dataset"
        ) from error
    if problems := [message for _, message in spec.problems()]:
        raise InputError(f"images: {name}: {problems[0]}")
    return name, spec
