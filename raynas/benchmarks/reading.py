"""Reads table files: the footer at once, a metric of one dataset, schedule and seed when first asked for.

A column goes from the memory-mapped file into one NumPy array, which is kept. The checksums of its pages are
compared on the way, so that a damaged file is refused and not believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raynas.benchmarks.schema import CHECKSUM, KEYS, MANIFEST, TRAINED_AS, Manifest, arrow_schema, checksum
from raynas.errors import InputError
from raynas.spaces import SearchSpace

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


class TableFile:
    """A table's file as arrays.

    Args:
        path: Of the file.

    Attributes:
        path: Of the file.
        manifest: What it holds.
        space: The search space of its architectures.
        trained_as: ``(size,)`` index under which it holds each architecture of the space, -1 for none; None
            where each stands for itself.

    Raises:
        InputError: There is no such file, it is broken, or it is not a table.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        if not path.is_file():
            raise InputError(f"{path}: no such file; give the path of a table that raynas made")
        self.path = path
        with _refused(path):
            self._file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
            metadata = self._file.metadata.metadata or {}
            self.manifest = _manifest(self._file, metadata)
            self.space = self.manifest.space()
            self.trained_as = _trained_as(metadata.get(TRAINED_AS), self.space)
        self._row_groups: dict[tuple[int, int], list[int]] = {}
        for number, group in enumerate(self.manifest.row_groups):
            self._row_groups.setdefault((group.part, group.seed), []).append(number)
        self._indices: dict[int, npt.NDArray[np.int64]] = {}
        self._units: dict[int, npt.NDArray[np.int64]] = {}
        self._values: dict[tuple[int, str, int | str], npt.NDArray[Any]] = {}

    def units(self, part: int) -> npt.NDArray[np.int64]:
        """Ascending indices of the architectures that have runs in a part."""
        if part not in self._units:
            found = [
                self._indices_in(number)
                for number, group in enumerate(self.manifest.row_groups)
                if group.part == part
            ]
            self._units[part] = np.unique(np.concatenate(found))
        return self._units[part]

    def values(self, part: int, metric: str, seed: int | str) -> npt.NDArray[Any]:
        """Values of a metric.

        Args:
            part: Number of the part.
            metric: One that it knows.
            seed: One of it; or ``mean``, over the runs that there are.

        Returns:
            ``(n_units, n_epochs)`` in the order of ``units``, NaN where there are none. Not to be changed.
        """
        key = (part, metric, seed)
        if key not in self._values:
            self._values[key] = (
                self._mean(part, metric) if seed == "mean" else self._of_seed(part, metric, int(seed))
            )
        return self._values[key]

    def _mean(self, part: int, metric: str) -> npt.NDArray[Any]:
        seeds = self.manifest.parts[part].seeds
        if len(seeds) == 1:
            return self.values(part, metric, seeds[0])
        tables = (self.values(part, metric, seed) for seed in seeds)
        # The mean of equal numbers need not be that number.
        return _first(tables) if self.manifest.metric(metric).per == "architecture" else _mean(tables)

    def _of_seed(self, part: int, metric: str, seed: int) -> npt.NDArray[Any]:
        units, n_epochs = self.units(part), len(self.manifest.parts[part].epochs)
        table = np.full((units.size, n_epochs), np.nan, dtype=self.manifest.metric(metric).dtype)
        for number in self._row_groups[part, seed]:
            table[np.searchsorted(units, self._indices_in(number))] = self._read(number, metric)
        return table

    def _indices_in(self, row_group: int) -> npt.NDArray[np.int64]:
        if row_group not in self._indices:
            rows = self._read(row_group, "index")
            indices = rows[:, 0].copy()
            if (rows != indices[:, None]).any() or np.unique(indices).size < indices.size:
                raise InputError(
                    f"{self.path}: row group {row_group} does not hold whole runs; make it again"
                )
            self._indices[row_group] = indices
        return self._indices[row_group]

    def _read(self, row_group: int, column: str) -> npt.NDArray[Any]:
        """``(n_runs, n_epochs)`` values of a column in a row group."""
        n_runs = self.manifest.row_groups[row_group].n_runs
        with _refused(self.path):
            read = self._file.read_row_group(row_group, columns=[column], use_threads=False)
            return _array(read.column(0)).reshape(n_runs, -1)


def _array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers, NaN for null.

    Its memory is read as it is, since Arrow's own conversion imports pandas first, which takes longer than
    all the rest.
    """
    chunks = []
    for chunk in column.chunks:
        valid, data = chunk.buffers()
        span = slice(chunk.offset, chunk.offset + len(chunk))
        values = np.frombuffer(data, chunk.type.to_pandas_dtype())[span]
        if chunk.null_count:
            known = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[span]
            values = np.where(known, values, np.nan).astype(values.dtype)
        chunks.append(values)
    return np.concatenate(chunks)


def _manifest(file: pq.ParquetFile, metadata: Mapping[bytes, bytes]) -> Manifest:
    """The manifest of a file, checked against its columns and row groups."""
    if MANIFEST not in metadata:
        columns = ", ".join(file.schema_arrow.names[:6])
        raise InputError(
            f"a Parquet file with the columns {columns}, but not a table of raynas; convert it with the "
            "importer 'columns'"
        )
    if metadata.get(CHECKSUM) != checksum(metadata[MANIFEST], metadata.get(TRAINED_AS, b"")):
        raise InputError("its metadata is damaged; make or fetch it again")
    manifest = Manifest.from_json(metadata[MANIFEST])
    if not file.schema_arrow.equals(arrow_schema(manifest.metrics)):
        raise InputError(f"its columns are not {', '.join(KEYS)} and the metrics that its metadata declares")
    if not manifest.parts or file.num_row_groups != len(manifest.row_groups):
        raise InputError("its metadata does not describe its row groups")
    for number, group in enumerate(manifest.row_groups):
        if file.metadata.row_group(number).num_rows != group.n_runs * len(manifest.parts[group.part].epochs):
            raise InputError(f"its metadata does not describe row group {number}")
    return manifest


def _trained_as(text: bytes | None, space: SearchSpace) -> npt.NDArray[np.int64] | None:
    if text is None:
        return None
    trained_as = np.array(json.loads(text), dtype=np.int64)
    if trained_as.shape != (space.size,) or trained_as.min() < -1 or trained_as.max() >= space.size:
        raise InputError(f"its map of trained architectures is not one of {space.name}")
    return trained_as


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turns whatever a broken file raises into one message that names it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    # A damaged footer or page makes Arrow, JSON and the manifest raise nearly anything.
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: not a whole table file ({type(error).__name__}: {first_line}); make or fetch it again"
        ) from error


def _mean(tables: Iterator[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Mean over runs, leaving out those that there are not; NaN where there is none."""
    first = next(tables)
    total, n_runs = np.zeros(first.shape), np.zeros(first.shape)
    for table in (first, *tables):
        known = ~np.isnan(table)
        total += np.where(known, table, 0.0)
        n_runs += known
    mean: npt.NDArray[np.float64] = np.full(first.shape, np.nan)
    np.divide(total, n_runs, out=mean, where=n_runs > 0)
    return mean


def _first(tables: Iterator[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Of several runs the first that there is."""
    found = next(tables)
    for table in tables:
        found = np.where(np.isnan(found), table, found)
    return found
