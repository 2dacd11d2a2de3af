"""A table of results, opened in milliseconds and asked by architecture, by index or by arrays of indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from raynas.assets import suggestion
from raynas.benchmarks.reading import TableFile
from raynas.benchmarks.schema import About, Metric, Part, spans
from raynas.errors import InputError
from raynas.spaces import Architecture

_EMBEDDED = Path(__file__).parent / "tables"

One: TypeAlias = Architecture | int
"""An architecture, or its index in the space."""
Many: TypeAlias = Sequence[Architecture] | Sequence[int] | npt.NDArray[np.integer[Any]]
"""Several of them, as an array of any shape where they are indices."""


@dataclass(frozen=True)
class Description:
    """What a table holds.

    Attributes:
        path: Of its file.
        about: Where its numbers come from.
        n_architectures: Architectures that can be asked for.
        n_trained: Different networks that were trained for them.
        metrics: All that are known for some part.
        parts: One a dataset and schedule.
    """

    path: Path
    about: About
    n_architectures: int
    n_trained: int
    metrics: tuple[Metric, ...]
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        shared = "" if self.n_trained == self.n_architectures else f", {self.n_trained:,} of them trained"
        return "\n".join(
            [
                f"{self.path}: {self.about.space}, {self.n_architectures:,} architectures{shared}",
                f"built by {self.about.built_by}, from {self.about.source}",
                *map(str, self.parts),
            ]
        )


def embedded() -> list[str]:
    """Names of the tables that travel with the package."""
    return sorted(path.stem for path in _EMBEDDED.glob("*.parquet"))


def open_table(name: str | Path) -> Table:
    """A table by the name of one that travels with the package, or by the path of a file.

    Args:
        name: What ends in ``.parquet`` or has a slash is a path; any other is a name.

    Raises:
        InputError: There is none, or it is no table.
    """
    text = str(name)
    if isinstance(name, Path) or is_path(text):
        return Table.open(Path(name))
    if text not in (names := embedded()):
        hint = suggestion(text, names)
        raise InputError(
            f"no table '{text}'{hint} Available: {', '.join(names) or 'none'}; or give the path of a file"
        )
    return Table.open(_EMBEDDED / f"{text}.parquet")


def is_path(name: str) -> bool:
    """Whether a table's name is meant as the path of a file."""
    return name.endswith(".parquet") or "/" in name


class Table:
    """Results of the architectures of a search space; picklable, by its path.

    Args:
        file: An open table file.

    Attributes:
        path: Of its file.
        about: Where its numbers come from.
        space: The search space.
        parts: What it holds for each dataset and schedule.
        datasets: Names of its datasets.
    """

    def __init__(self, file: TableFile) -> None:
        self.path = file.path
        self.about = file.manifest.about
        self.space = file.space
        self.parts = file.manifest.parts
        self.datasets = tuple(dict.fromkeys(part.dataset for part in self.parts))
        self._file = file
        self._number_of: dict[tuple[str | None, int | None], int] = {
            (part.dataset, part.schedule): number for number, part in enumerate(self.parts)
        }

    @classmethod
    def open(cls, path: str | Path) -> Table:
        """The table in a file.

        Raises:
            InputError: There is no such file, it is broken, or it is not a table.
        """
        return cls(TableFile(Path(path)))

    def __reduce__(self) -> tuple[Callable[[Path], Table], tuple[Path]]:
        return Table.open, (self.path.absolute(),)

    def __repr__(self) -> str:
        return f"<Table {self.path}: {self.about.space}, {', '.join(self.datasets)}>"

    def describe(self) -> Description:
        """What there is: datasets, schedules, epochs, seeds, metrics."""
        units = [self._file.units(number) for number in range(len(self.parts))]
        trained = np.unique(np.concatenate(units))
        shared = self._file.trained_as
        known = {name for part in self.parts for name in part.known}
        return Description(
            path=self.path,
            about=self.about,
            n_architectures=trained.size if shared is None else int(np.isin(shared, trained).sum()),
            n_trained=trained.size,
            metrics=tuple(metric for metric in self._file.manifest.metrics if metric.name in known),
            parts=self.parts,
        )

    def part(self, dataset: str | None = None, schedule: int | None = None) -> Part:
        """What there is for a dataset and schedule, each of which may be left out where there is one only.

        Raises:
            InputError: There is none such, or more than one; the message says what there is.
        """
        return self.parts[self._part(dataset, schedule)]

    def architectures(self, dataset: str | None = None, schedule: int | None = None) -> npt.NDArray[np.int64]:
        """Ascending indices of the architectures that can be asked for on a dataset and schedule.

        Raises:
            InputError: There is no such dataset or schedule.
        """
        units = self._file.units(self._part(dataset, schedule))
        shared = self._file.trained_as
        return units.copy() if shared is None else np.flatnonzero(np.isin(shared, units))

    @overload
    def query(
        self,
        metric: str,
        architectures: One,
        *,
        dataset: str | None = ...,
        schedule: int | None = ...,
        epoch: int | None = ...,
        seed: int | Literal["mean"] = ...,
    ) -> float: ...

    @overload
    def query(
        self,
        metric: str,
        architectures: Many | None = ...,
        *,
        dataset: str | None = ...,
        schedule: int | None = ...,
        epoch: int | None = ...,
        seed: int | Literal["mean"] = ...,
    ) -> npt.NDArray[np.float64]: ...

    def query(
        self,
        metric: str,
        architectures: One | Many | None = None,
        *,
        dataset: str | None = None,
        schedule: int | None = None,
        epoch: int | None = None,
        seed: int | Literal["mean"] = "mean",
    ) -> float | npt.NDArray[np.float64]:
        """Values of a metric at one epoch.

        Args:
            metric: Its name, as ``describe`` lists it.
            architectures: One, several, or an array of indices of any shape; None for all that there are, as
                ``architectures`` lists them (the whole space, where the table is complete).
            dataset: May be left out where there is one only.
            schedule: Epochs for which the training was planned; may be left out where there is one only.
            epoch: Epochs trained; None for the last.
            seed: One of them; or ``mean``, over the runs that there are of each architecture.

        Returns:
            In the metric's unit: a number for one architecture, else an array shaped as ``architectures``.

        Raises:
            InputError: It is not in the table; the message says what is.
        """
        number = self._part(dataset, schedule)
        part = self.parts[number]
        self._check_metric(part, metric)
        wanted = part.epochs[-1] if epoch is None else epoch
        if wanted not in part.known[metric]:
            raise InputError(
                f"{self._where(part)}: there is no {metric} at epoch {wanted!r}; there is at "
                f"{spans(part.known[metric])}"
            )
        if seed != "mean" and seed not in part.seeds:
            there_are = spans(part.seeds)
            raise InputError(
                f"{self._where(part)}: there is no seed {seed!r}; there are {there_are}, and 'mean'"
            )
        indices = self._indices(number, architectures)
        rows = self._rows(number, indices)
        found = self._file.values(number, metric, seed)[rows, part.epochs.index(wanted)]
        if (missing := np.isnan(found)).any():
            raise InputError(self._what_is_missing(number, metric, indices[missing].ravel()[0], wanted, seed))
        return float(found) if indices.ndim == 0 else found.astype(np.float64)

    def curves(
        self,
        metric: str,
        architectures: One | Many | None = None,
        *,
        dataset: str | None = None,
        schedule: int | None = None,
    ) -> npt.NDArray[np.float64]:
        """Values of a metric with every seed and at every epoch.

        Args:
            metric: As in ``query``.
            architectures: As in ``query``.
            dataset: As in ``query``.
            schedule: As in ``query``.

        Returns:
            Shaped as ``architectures``, then ``(n_seeds, n_epochs)``, in the order of ``part(...).seeds`` and
            ``.epochs``; NaN where an architecture has no such run, or the value is not known.

        Raises:
            InputError: It is not in the table; the message says what is.
        """
        number = self._part(dataset, schedule)
        part = self.parts[number]
        self._check_metric(part, metric)
        rows = self._rows(number, self._indices(number, architectures))
        of_seeds = [self._file.values(number, metric, seed)[rows] for seed in part.seeds]
        return np.stack(of_seeds, axis=rows.ndim).astype(np.float64)

    def _part(self, dataset: str | None, schedule: int | None) -> int:
        number = self._number_of.get((dataset, schedule))
        if number is not None:
            return number
        if dataset is None and len(self.datasets) > 1:
            raise InputError(f"{self.path}: its datasets are {', '.join(self.datasets)}; say which is meant")
        name = self.datasets[0] if dataset is None else dataset
        schedules = sorted(part.schedule for part in self.parts if part.dataset == name)
        if not schedules:
            hint = suggestion(name, list(self.datasets))
            raise InputError(f"{self.path}: no dataset '{name}'{hint} There is: {', '.join(self.datasets)}")
        if schedule is None and len(schedules) > 1:
            raise InputError(
                f"{self.path}: {name} was trained with schedules of {spans(schedules)} epochs; say which is "
                "meant"
            )
        if schedule is not None and schedule not in schedules:
            raise InputError(
                f"{self.path}: {name} was not trained with a schedule of {schedule!r} epochs, but of "
                f"{spans(schedules)}"
            )
        number = self._number_of[name, schedule or schedules[0]]
        return self._number_of.setdefault((dataset, schedule), number)

    def _check_metric(self, part: Part, metric: str) -> None:
        if metric not in part.known:
            hint = suggestion(metric, list(part.known))
            raise InputError(
                f"{self._where(part)}: there is no {metric!r}{hint} There is: {', '.join(part.known)}"
            )

    def _indices(self, number: int, architectures: One | Many | None) -> npt.NDArray[np.integer[Any]]:
        if architectures is None:
            part = self.parts[number]
            return self.architectures(part.dataset, part.schedule)
        if isinstance(architectures, Architecture):
            return np.array(self.space.index(architectures))
        if isinstance(architectures, Sequence):
            architectures = [
                self.space.index(one) if isinstance(one, Architecture) else one for one in architectures
            ]
        indices = np.asarray(architectures)
        if indices.size and not np.issubdtype(indices.dtype, np.integer):
            raise InputError(
                "architectures are asked for as such or by their whole-number index, and came as "
                f"{indices.dtype}"
            )
        return indices if indices.size else indices.astype(np.int64)

    def _rows(self, number: int, indices: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.intp]:
        trained = indices
        if indices.size and (indices.min() < 0 or indices.max() >= self.space.size):
            outside = indices[(indices < 0) | (indices >= self.space.size)].ravel()[0]
            raise InputError(
                f"{self.space.name} has no architecture {outside}; its indices run from 0 to "
                f"{self.space.size - 1}"
            )
        if self._file.trained_as is not None:
            trained = self._file.trained_as[indices]
        units = self._file.units(number)
        rows = np.minimum(np.searchsorted(units, trained), units.size - 1)
        if (absent := units[rows] != trained).any():
            part = self.parts[number]
            n_present = self.architectures(part.dataset, part.schedule).size
            raise InputError(
                f"{self._where(part)}: there is no run of {self._named(indices[absent].ravel()[0])}; there "
                f"are runs of {n_present:,} of {self.space.size:,}"
            )
        return rows

    def _what_is_missing(self, number: int, metric: str, index: Any, epoch: int, seed: int | str) -> str:
        part = self.parts[number]
        rows = self._rows(number, np.array([index]))
        column = part.epochs.index(epoch)
        has = [
            seed
            for seed in part.seeds
            if not np.isnan(self._file.values(number, metric, seed)[rows, column]).any()
        ]
        return (
            f"{self._where(part)}: there is no {metric} at epoch {epoch} with seed {seed!r} of "
            f"{self._named(index)}; its seeds are {spans(has)}"
        )

    def _named(self, index: Any) -> str:
        return f"architecture {index}, {self.space.format(self.space.at(int(index)))}"

    def _where(self, part: Part) -> str:
        return f"{self.path}: {part.dataset}, schedule of {part.schedule} epochs"
