"""What architectures are worth by a table: which of its trainings say so, and how sure they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raynas.assets import suggestion
from raynas.errors import InputError

if TYPE_CHECKING:
    from raynas.benchmarks import Part, Table

TEST, VALID = "test_accuracy_pct", "valid_accuracy_pct"
HALVES = ("cifar10_valid", "cifar10-valid")  # NAS-Bench-201's CIFAR-10, trained on half of it

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def tested(table: Table, dataset: str | None) -> Part:
    """The longest trainings with a test accuracy: on CIFAR-10, else the first dataset that has it.

    Args:
        table: Of results.
        dataset: Which; None for the one that the first line says.

    Raises:
        InputError: There are none.
    """
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


def validated(table: Table, of: Part) -> Part | None:
    """The trainings with a validation accuracy: the same, or those on half of CIFAR-10 where it is all.

    Args:
        table: Of results.
        of: What ``tested`` found.
    """
    twins = (of.dataset, *(HALVES if of.dataset == "cifar10" else ()))
    for name in twins:
        having = [part for part in table.parts if part.dataset == name and VALID in part.known]
        if having:
            return next(
                (part for part in having if part.schedule == of.schedule),
                max(having, key=lambda part: part.schedule),
            )
    return None


def there(table: Table, *parts: Part | None) -> Indices:
    """Ascending indices of the architectures that all of some parts hold, 2 or more.

    Raises:
        InputError: There are fewer.
    """
    of_parts = [table.architectures(part.dataset, part.schedule) for part in parts if part is not None]
    found = of_parts[0]
    for other in of_parts[1:]:
        found = np.intersect1d(found, other)
    if found.size < 2:
        raise InputError(f"{table.path}: {found.size} architectures; a rank correlation needs 2 or more")
    return found


def final(table: Table, metric: str, part: Part, indices: Indices | None = None) -> Floats:
    """``(n,)`` values at the end of the training, the mean over seeds.

    Args:
        table: Of results.
        metric: Its name.
        part: Which trainings.
        indices: ``(n,)`` architectures; None for all.
    """
    last = part.known[metric][-1]
    return table.query(metric, indices, dataset=part.dataset, schedule=part.schedule, epoch=last)


def rounded(values: Floats) -> Floats:
    """Values that are equal where they should be: means over seeds may differ in the last bits."""
    return np.round(values, 9)


def ceiling(table: Table, part: Part, indices: Indices) -> float:
    """Kendall's tau of the final test accuracy between two seeds of a table; NaN if there is one seed."""
    from raynas.analysis.rank_correlation import between_seeds

    curves = table.curves(TEST, indices, dataset=part.dataset, schedule=part.schedule)
    found = between_seeds(curves, part.epochs, chosen=[part.known[TEST][-1]])
    return float(found["tau"].iloc[0]) if len(found) else float("nan")
