"""Writes table files, a few runs at a time, so that a table need not fit into memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raynas.benchmarks.schema import (
    CHECKSUM,
    MANIFEST,
    METRICS,
    TRAINED_AS,
    About,
    Manifest,
    Metric,
    Part,
    RowGroup,
    arrow_schema,
    checksum,
    spans,
)
from raynas.errors import InputError
from raynas.spaces import SearchSpace, get_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of one dataset, schedule and seed.

    Attributes:
        dataset: Its name.
        schedule: Epochs for which the training was planned.
        seed: Of the training.
        epochs: Those recorded, ascending, from 1; the same in all runs of the dataset and schedule.
        indices: ``(n,)`` architectures, by their index in the space, each once.
        metrics: ``(n, n_epochs)`` values by name, in the metric's unit, NaN where not known; ``(n,)`` for
            those per architecture.
    """

    dataset: str
    schedule: int
    seed: int
    epochs: tuple[int, ...]
    indices: npt.NDArray[np.integer[Any]]
    metrics: Mapping[str, npt.NDArray[Any]]


def write(
    path: Path,
    about: About,
    runs: Iterable[Runs],
    *,
    extra: Sequence[Metric] = (),
    trained_as: npt.NDArray[np.integer[Any]] | None = None,
) -> None:
    """Makes a table file, whole or not at all, replacing one of that name.

    Args:
        path: Of the file.
        about: Where its numbers come from.
        runs: Taken one after the other, each becoming a row group, none kept; some thousand runs in each read
            fastest. Only one may hold an architecture's run of a dataset, schedule and seed.
        extra: Metrics beside ``METRICS``.
        trained_as: ``(size,)`` where architectures share a trained network: for each of the space, by index,
            the index under which the runs hold it, -1 for none.

    Raises:
        InputError: What was given is no table; the message says where.
    """
    import pyarrow.parquet as pq

    space = get_space(about.space)
    metrics = (*METRICS, *extra)
    schema = arrow_schema(metrics)
    collected = _Collected(space, metrics)
    with (
        _whole_or_not(path) as partial,
        pq.ParquetWriter(
            partial, schema, compression="zstd", compression_level=12, write_page_checksum=True
        ) as file,
    ):
        for some in runs:
            if some.indices.size:
                collected.add(some)
                rows = _rows(some, space, metrics, schema)
                file.write_table(rows, row_group_size=rows.num_rows)  # pyarrow would split a large one
        if not collected.parts:
            raise InputError(f"{path}: no runs were given, so there is no table to write")
        # The manifest says what was written, so it comes last.
        entries = {MANIFEST: collected.manifest(about).to_json()}
        if trained_as is not None:
            entries[TRAINED_AS] = json.dumps(collected.shared(trained_as).tolist()).encode()
        file.add_key_value_metadata({**entries, CHECKSUM: checksum(*entries.values())})


def compact_losses(losses: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Losses rounded to a thousandth of a nat, those of the last epoch as they are.

    Rounded values repeat, so the file stores each in about 11 bits. The last epoch is what searches compare.

    Args:
        losses: ``(n, n_epochs)`` nats.
    """
    compact = np.round(losses.astype(np.float64), 3).astype(np.float32)
    compact[:, -1] = losses[:, -1]
    return compact


@dataclass
class _Part:
    """A part while it is written."""

    epochs: tuple[int, ...]
    indices: dict[int, list[npt.NDArray[np.int64]]] = field(default_factory=dict)
    known: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)


class _Collected:
    """Checks runs and remembers what of them the manifest says."""

    def __init__(self, space: SearchSpace, metrics: Sequence[Metric]) -> None:
        self.space = space
        self.metrics = {metric.name: metric for metric in metrics}
        self.parts: dict[tuple[str, int], _Part] = {}
        self.row_groups: list[RowGroup] = []
        if len(self.metrics) < len(metrics):
            raise InputError("an extra metric has the name of another metric")

    def add(self, runs: Runs) -> None:
        where = f"{runs.dataset}, schedule {runs.schedule}, seed {runs.seed}"
        if not runs.epochs or list(runs.epochs) != sorted(set(runs.epochs)) or runs.epochs[0] < 1:
            raise InputError(f"{where}: epochs must ascend from 1 or more, and came as {runs.epochs}")
        if runs.epochs[-1] > runs.schedule:
            raise InputError(f"{where}: epoch {runs.epochs[-1]} is beyond the schedule")
        part = self.parts.setdefault((runs.dataset, runs.schedule), _Part(runs.epochs))
        if part.epochs != runs.epochs:
            raise InputError(
                f"{where}: epochs {spans(runs.epochs)}, and other runs of it have {spans(part.epochs)}; "
                "give all the same, NaN where a value is not known"
            )
        indices = runs.indices.astype(np.int64)
        known_indices = part.indices.setdefault(runs.seed, [])
        everything = np.concatenate([*known_indices, indices])
        if everything.min() < 0 or everything.max() >= self.space.size:
            raise InputError(f"{where}: {self.space.name} has indices from 0 to {self.space.size - 1}")
        if np.unique(everything).size < everything.size:
            values, counts = np.unique(everything, return_counts=True)
            raise InputError(f"{where}: architecture {values[counts > 1][0]} is given twice")
        known_indices[:] = [everything]
        for name, values in runs.metrics.items():
            self._add_metric(part, name, values, indices.size, where)
        part_number = list(self.parts).index((runs.dataset, runs.schedule))
        self.row_groups.append(RowGroup(part_number, runs.seed, indices.size))

    def _add_metric(self, part: _Part, name: str, values: npt.NDArray[Any], n_runs: int, where: str) -> None:
        metric = self.metrics.get(name)
        if metric is None:
            raise InputError(f"{where}: '{name}' is no metric; declare it in extra")
        due = (n_runs,) if metric.per == "architecture" else (n_runs, len(part.epochs))
        if values.shape != due:
            raise InputError(f"{where}: {name} has the shape {values.shape} and must have {due}")
        # Means of 100 percent over batches exceed it in the last digit.
        if metric.unit == "percent" and not (np.isnan(values) | ((values >= 0) & (values < 100.001))).all():
            raise InputError(f"{where}: {name} must be percent, from 0 to 100")
        known = ~np.isnan(values)
        every_epoch = np.full(len(part.epochs), known.any()) if known.ndim == 1 else known.any(axis=0)
        part.known[name] = part.known.get(name, np.zeros(len(part.epochs), dtype=bool)) | every_epoch

    def manifest(self, about: About) -> Manifest:
        parts = tuple(
            Part(
                dataset=dataset,
                schedule=schedule,
                epochs=part.epochs,
                seeds=tuple(sorted(part.indices)),
                known={
                    name: tuple(np.array(part.epochs)[part.known[name]].tolist())
                    for name in self.metrics
                    if name in part.known and part.known[name].any()
                },
                n_runs=sum(indices.size for (indices,) in part.indices.values()),
            )
            for (dataset, schedule), part in self.parts.items()
        )
        return Manifest(
            about, self.space.operations, tuple(self.metrics.values()), parts, tuple(self.row_groups)
        )

    def shared(self, trained_as: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
        if trained_as.shape != (self.space.size,):
            raise InputError(
                f"trained_as has the shape {trained_as.shape} and must have ({self.space.size},), "
                f"one entry an architecture of {self.space.name}"
            )
        named = trained_as[trained_as != -1]
        if named.size and (named.min() < 0 or named.max() >= self.space.size):
            raise InputError(f"trained_as must hold -1 or indices from 0 to {self.space.size - 1}")
        if not (trained_as[named] == named).all():
            raise InputError("trained_as must lead to architectures that stand for themselves")
        return trained_as


def _rows(runs: Runs, space: SearchSpace, metrics: Sequence[Metric], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    n, n_epochs = runs.indices.size, len(runs.epochs)

    def repeated(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.repeat(values, n_epochs)

    def constant(value: str) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n * n_epochs, np.int32)), [value])

    notations = [space.format(space.at(index)) for index in runs.indices.tolist()]
    columns: list[Any] = [
        constant(runs.dataset),
        np.full(n * n_epochs, runs.schedule, np.int32),
        np.full(n * n_epochs, runs.seed, np.int64),
        repeated(runs.indices.astype(np.int64)),
        pa.DictionaryArray.from_arrays(pa.array(repeated(np.arange(n, dtype=np.int32))), notations),
        np.tile(np.array(runs.epochs, np.int32), n),
    ]
    for metric in metrics:
        values = runs.metrics.get(metric.name)
        if values is None:
            columns.append(pa.nulls(n * n_epochs, pa.from_numpy_dtype(metric.dtype)))
        else:
            flat = (repeated(values) if metric.per == "architecture" else values.ravel()).astype(metric.dtype)
            columns.append(pa.array(flat, mask=np.isnan(flat)))
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema)


@contextmanager
def _whole_or_not(path: Path) -> Iterator[Path]:
    """A path beside the given one, which takes its place if the block ends well."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
