"""What a table knows of an architecture that a trial has found or scored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from raynas.benchmarks import Table, open_table
from raynas.errors import InputError
from raynas.spaces import Architecture


def looked_up(
    table: str, architecture: Architecture, *, dataset: str | None, prefix: str
) -> dict[str, float]:
    """Mean final accuracies by ``<prefix>_<split>_accuracy_pct``, of the splits that the table knows.

    Args:
        table: Its name or path.
        architecture: Whose trainings.
        dataset: What they were on; None where the table has one dataset only.
        prefix: Of the names.

    Raises:
        InputError: There is no such table, or it lacks the dataset or the architecture.
    """
    opened, known = _known(table, dataset)
    index = opened.space.index(architecture)
    part = opened.part(dataset, None)
    found = {}
    for name, values in known.items():
        value = values.get(index)
        if value is None:  # to hear what is missing
            value = float(opened.query(name, index, dataset=part.dataset, schedule=part.schedule))
        found[f"{prefix}_{name}"] = value
    return found


# A table opens its file for every question, and a search by scores has one for every candidate.
@lru_cache(maxsize=2)
def _known(table: str, dataset: str | None) -> tuple[Table, dict[str, Mapping[int, float]]]:
    """A table, and each accuracy by the index of the architecture; empty where one lacks a value."""
    opened = open_table(table)
    part = opened.part(dataset, None)
    indices = opened.architectures(part.dataset, part.schedule)
    known: dict[str, Mapping[int, float]] = {}
    for name in ("valid_accuracy_pct", "test_accuracy_pct"):
        if name in part.known:
            try:
                values = opened.query(name, indices, dataset=part.dataset, schedule=part.schedule)
            except InputError:
                known[name] = {}
            else:
                known[name] = dict(zip(indices.tolist(), values.tolist(), strict=True))
    return opened, known
