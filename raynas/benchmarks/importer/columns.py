"""Plain tables, CSV or Parquet, by a mapping from metrics to their columns.

Wide (one row an architecture, a column for each dataset and metric) or tidy (one row an architecture,
dataset, seed or epoch). The real 12-epoch table of NAS-Bench-201, as an example::

    Columns(
        architecture="arch_str",
        metrics={
            "cifar10_valid/valid_accuracy_pct": "cifar10_valid_accuracy",
            "cifar10/test_accuracy_pct": "cifar10_test_accuracy",
            "cifar100/valid_accuracy_pct": "cifar100_valid_accuracy",
        },
        schedule=12,
    )
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raynas.assets import suggestion
from raynas.benchmarks.importing import Progress
from raynas.benchmarks.schema import METRICS, About, Metric
from raynas.benchmarks.writing import Runs, write
from raynas.errors import InputError
from raynas.spaces import SearchSpace, get_space

if TYPE_CHECKING:
    import pandas as pd

_PER_ARCHITECTURE = {metric.name for metric in METRICS if metric.per == "architecture"}
_UNITS = {"_pct": "percent", "_s": "seconds", "_m": "millions", "_loss": "nats"}


@dataclass(frozen=True)
class Columns:
    """Imports a plain table.

    Attributes:
        architecture: Column of architectures, in their space's notation or by index.
        metrics: For each metric, as ``dataset/metric`` or, where ``dataset`` is given, ``metric``, the column
            that holds it. Any name will do for a metric that tables do not have of themselves.
        space: Search space, by name or path.
        dataset: Column of the dataset's name; empty where ``metrics`` says it.
        seed: Column of the seed; empty for one run of each architecture.
        epoch: Column of the epoch; empty for values of the last epoch.
        schedule: Epochs for which the trainings were planned; 0 for the greatest epoch there is, which is
            only known where there is a column of it.
        factor: What accuracies are multiplied by to make them percent; 100 for shares of 1.
    """

    architecture: str
    metrics: Mapping[str, str]
    space: str = "nas_bench_201"
    dataset: str = ""
    seed: str = ""
    epoch: str = ""
    schedule: int = 0
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not self.metrics:
            raise InputError("metrics: must name a column for at least one metric")
        for name in self.metrics:
            if ("/" in name) == bool(self.dataset):
                due = "'metric', since dataset is a column" if self.dataset else "'dataset/metric'"
                raise InputError(f"metrics: {name!r} must be {due}")
        if self.schedule < 0 or (self.schedule == 0 and not self.epoch):
            raise InputError(
                f"schedule: {self.schedule} must be the number of epochs trained, unless epoch is a column"
            )
        if self.factor <= 0:
            raise InputError(f"factor: {self.factor} must be greater than 0")

    def convert(self, source: Path, target: Path, *, progress: Progress | None = None) -> None:
        frame = _read(source)
        keys = [self.architecture, self.dataset, self.seed, self.epoch]
        for column in (*filter(None, keys), *self.metrics.values()):
            if column not in frame.columns:
                names = list(map(str, frame.columns))
                hint = suggestion(column, names)
                raise InputError(f"{source}: no column '{column}'{hint} There is: {', '.join(names)}")
        try:
            runs = list(self._runs(frame))
            extra = _extra({metric for some in runs for metric in some.metrics})
            about = About(
                space=self.space,
                built_by="raynas, importer columns",
                source=source.name,
                constants={"columns": dict(self.metrics)},
            )
            write(target, about, runs, extra=extra)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
        if progress is not None:
            progress(len(frame), len(frame))

    def _runs(self, frame: pd.DataFrame) -> Iterator[Runs]:
        indices = _indices(get_space(self.space), frame[self.architecture])
        seeds = _whole(frame, self.seed) if self.seed else np.zeros(len(frame), dtype=np.int64)
        epochs = _whole(frame, self.epoch) if self.epoch else np.full(len(frame), self.schedule)
        for dataset, chosen, columns in self._datasets(frame):
            recorded = np.unique(epochs[chosen])
            for seed in np.unique(seeds[chosen]):
                rows = np.flatnonzero(chosen & (seeds == seed))
                run, position = np.unique(indices[rows], return_inverse=True)
                column = np.searchsorted(recorded, epochs[rows])
                if np.unique(position * recorded.size + column).size < rows.size:
                    raise InputError(f"{dataset}, seed {seed}: an architecture has two rows of one epoch")
                metrics = {}
                for metric, name in columns.items():
                    values = np.full((run.size, recorded.size), np.nan)
                    values[position, column] = _numbers(frame, name)[rows] * (
                        self.factor if metric.endswith("_pct") else 1.0
                    )
                    metrics[metric] = values[:, -1] if metric in _PER_ARCHITECTURE else values
                yield Runs(
                    dataset=dataset,
                    schedule=self.schedule or int(epochs.max()),
                    seed=int(seed),
                    epochs=tuple(recorded.tolist()),
                    indices=run,
                    metrics=metrics,
                )

    def _datasets(self, frame: pd.DataFrame) -> Iterator[tuple[str, npt.NDArray[np.bool_], dict[str, str]]]:
        """Name, rows and columns of every dataset."""
        if self.dataset:
            names = frame[self.dataset].astype(str).to_numpy()
            for name in dict.fromkeys(names):
                yield str(name), names == name, dict(self.metrics)
            return
        columns: dict[str, dict[str, str]] = {}
        for metric, column in self.metrics.items():
            dataset, _, name = metric.rpartition("/")
            columns.setdefault(dataset, {})[name] = column
        for dataset, of_dataset in columns.items():
            yield dataset, np.ones(len(frame), dtype=bool), of_dataset


def _read(source: Path) -> pd.DataFrame:
    import pandas as pd

    if not source.is_file():
        raise InputError(f"{source}: no such file")
    try:
        frame = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source)
    # A file of another kind makes the two readers raise nearly anything.
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(f"{source}: neither CSV nor, by its suffix, .parquet: {first_line}") from error
    if frame.empty:
        raise InputError(f"{source}: it has no rows")
    return frame


def _indices(space: SearchSpace, column: pd.Series) -> npt.NDArray[np.int64]:
    if column.dtype.kind in "iu":
        return np.asarray(column, dtype=np.int64)
    codes, texts = column.astype(str).factorize()
    of_texts: npt.NDArray[np.int64] = np.array([space.index(space.parse(str(text))) for text in texts])
    return np.asarray(of_texts[codes])


def _numbers(frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    try:
        values: npt.NDArray[np.float64] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        return values
    except (TypeError, ValueError) as error:
        raise InputError(f"column '{name}' holds what is no number: {error}") from error


def _whole(frame: pd.DataFrame, name: str) -> npt.NDArray[np.int64]:
    values = _numbers(frame, name)
    if not (values == np.floor(values)).all():
        raise InputError(f"column '{name}' must hold whole numbers")
    return values.astype(np.int64)


def _extra(names: set[str]) -> list[Metric]:
    """Declarations of the metrics that tables do not have of themselves."""
    declared = {metric.name for metric in METRICS}
    return [
        Metric(name, "float64", next((unit for end, unit in _UNITS.items() if name.endswith(end)), ""), name)
        for name in sorted(names - declared)
    ]
