"""Makes a table of a run: its result frame in, a table file out, also while the run still goes on.

A run that trains several seeds side by side reports each metric as ``<metric>.<seed>``, and each seed becomes
runs of its own; any other run is one seed, its configuration's. Where what was trained stands for a whole
canonical form (``raynas.spaces.canonical``), the table answers for all members of the form.

``training_s`` of a workload becomes ``cost_s``. Of a shifted test set (metrics ``shifted_<name>_...``) the
table holds each copy's accuracy, and of accuracy and loss the means over the copies.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import raynas
from raynas import results
from raynas.benchmarks.schema import METRICS, About, Metric, spans
from raynas.benchmarks.writing import Runs, compact_losses, write
from raynas.errors import InputError
from raynas.spaces import SearchSpace, get_space
from raynas.spaces.canonical import classes

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]

COMPARED = ("valid_accuracy_pct", "valid_loss", "test_accuracy_pct")
"""The metrics whose agreement between seeds a table's metadata state."""

_OF_SEED = re.compile(r"(.+)\.(-?\d+)")
_SHIFTED = re.compile(r"shifted_(.+)_(accuracy_pct|loss)")
_UNITS = {"_pct": "percent", "_s": "seconds", "_m": "millions", "_loss": "nats"}
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
_DECLARED = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True)
class Built:
    """What a table was made of.

    Attributes:
        n_trained: Trainings that it holds, each with all its seeds.
        n_wanted: Trainings that the whole space takes.
        n_failed: Trainings that failed; the table says nothing of them.
        n_unfinished: Trainings that had begun and not ended; likewise.
        shares: Whether a training stands for all architectures of its canonical form.
    """

    n_trained: int
    n_wanted: int
    n_failed: int
    n_unfinished: int
    shares: bool

    @property
    def is_whole(self) -> bool:
        """Whether every architecture of the space can be asked for."""
        return self.n_trained == self.n_wanted

    def __str__(self) -> str:
        of_what = "canonical forms" if self.shares else "architectures"
        ended = f"{self.n_trained:,} of {self.n_wanted:,} {of_what}"
        if not self.n_failed and not self.n_unfinished:
            return ended
        return f"{ended}; {self.n_failed:,} failed and {self.n_unfinished:,} unfinished are left out"


def build(
    path: Path, frame: pd.DataFrame, config: Mapping[str, Any], *, constants: Mapping[str, Any] | None = None
) -> Built:
    """Writes the table of a run.

    Args:
        path: Of the table file; one that exists is replaced when the new one is whole.
        frame: The run's result frame, as ``raynas.results`` makes it or its Parquet file holds it.
        config: The run's configuration with every default written out, as its ``config.yaml`` holds it.
        constants: What else fixes the numbers, added to the table's metadata.

    Returns:
        What the table holds, and what it lacks.

    Raises:
        InputError: The run has no dataset or no finished training, or its space is too large for a table.
    """
    space = get_space(config["search_space"])
    if not config.get("dataset"):
        raise InputError("the run has no dataset, so what it found is no training; a table needs one")
    class_of = classes(space)[0] if _shares_forms(config) else None
    trained, built = _trained(frame, space, class_of)
    readings = _Readings(trained, int(config.get("seed", 0)))
    schedule = max(_schedule(config), readings.epochs[-1])
    dataset = str(config["dataset"]["name"])
    metrics = readings.metrics()

    def runs() -> Iterator[Runs]:
        for seed in readings.seeds:
            yield Runs(
                dataset,
                schedule,
                seed,
                readings.epochs,
                readings.indices,
                {metric.name: values(seed) for metric, values in metrics},
            )

    write(
        path,
        About(
            space=str(config["search_space"]),
            built_by=f"raynas {raynas.__version__}, benchmark build",
            source=_source(frame, config, built, schedule, readings.seeds),
            constants={
                **_settings(config),
                **(constants or {}),
                "rounding": "losses to 0.001 nats, those of the last epoch to float32; cost_s to 0.001 s",
                "cost": _cost(frame),
                "seed_agreement": _agreement(metrics, readings.seeds),
                "made_on": _made_on(),
            },
        ),
        runs(),
        extra=[metric for metric, _ in metrics if metric.name not in _DECLARED],
        trained_as=None if class_of is None else _trained_as(class_of, readings.indices),
    )
    return built


def seed_tau(values: Array, *, best: float = 1.0, lower_is_better: bool = False) -> float:
    """Kendall's tau-b between seeds: how far two trainings agree in ranking architectures.

    Args:
        values: ``(n, n_seeds)`` of one metric; architectures that lack a seed are left out.
        best: Share of the architectures that is looked at, the best by their mean over the seeds.
        lower_is_better: As for losses.

    Returns:
        The mean over all pairs of seeds; NaN where there are fewer than two seeds or architectures, or where
        a seed tells none of them apart.
    """
    from scipy.stats import kendalltau

    known = values[~np.isnan(values).any(axis=1)]
    order = np.argsort(known.mean(axis=1) * (1 if lower_is_better else -1), kind="stable")
    chosen = known[order[: round(best * len(known))]]
    if len(chosen) < 2 or chosen.shape[1] < 2:
        return float("nan")
    taus = [kendalltau(first, second).statistic for first, second in combinations(chosen.T, 2)]
    return float(np.mean(taus))


class _Readings:
    """What was read of the architectures at each epoch, as arrays.

    Args:
        trained: Rows of finished trainings, one an architecture and epoch.
        seed: Of the run, for one that reports no seeds.

    Attributes:
        indices: ``(n,)`` architectures, ascending.
        epochs: Those recorded, ascending.
        seeds: Ascending.
    """

    def __init__(self, trained: pd.DataFrame, seed: int) -> None:
        index = trained["index"].to_numpy(dtype=np.int64)
        self.indices, self._row = np.unique(index, return_inverse=True)
        epochs, self._column = np.unique(trained["epoch"].to_numpy(dtype=np.int64), return_inverse=True)
        self.epochs: tuple[int, ...] = tuple(epochs.tolist())
        self._frame = trained
        known = trained.select_dtypes("number").dropna(axis="columns", how="all").columns
        names = [str(name) for name in known if name not in results.RESERVED]
        matches = [match for match in map(_OF_SEED.fullmatch, names) if match]
        self._of_seeds = {match[1] for match in matches}
        self.seeds = tuple(sorted({int(match[2]) for match in matches})) or (seed,)
        self._names = [name for name in names if not _OF_SEED.fullmatch(name)]
        self._names += sorted(self._of_seeds - {*self._names})

    def metrics(self) -> list[tuple[Metric, Callable[[int], Array]]]:
        """What the table declares, with the values of a seed as ``Runs`` takes them."""
        found: list[tuple[Metric, Callable[[int], Array]]] = []
        copies: dict[str, list[str]] = {}
        for name in self._names:
            if match := _SHIFTED.fullmatch(name):
                copies.setdefault(match[2], []).append(name)
            elif name != "training_s":
                found.append((_metric(name), partial(self._compact, name)))
        for kind, names in sorted(copies.items()):
            meaning = f"mean over {len(names)} shifted copies of the test split"
            found.append((_metric(f"shifted_{kind}", meaning), partial(self._mean, names)))
        for name in copies.get("accuracy_pct", []):
            meaning = f"accuracy on the test split {name[8:-13].replace('_', ' ')}"
            found.append((_metric(name, meaning), partial(self.of, name)))
        found.append((_DECLARED["cost_s"], self._cost_s))
        return found

    def of(self, name: str, seed: int) -> Array:
        """``(n, n_epochs)`` of a column, NaN where it says nothing."""
        column = f"{name}.{seed}" if name in self._of_seeds else name
        values = np.full((self.indices.size, len(self.epochs)), np.nan)
        if column in self._frame:
            values[self._row, self._column] = self._frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
        return values

    def _compact(self, name: str, seed: int) -> Array:
        values = self.of(name, seed)
        if name in _DECLARED and _DECLARED[name].per == "architecture":
            return values[:, 0]
        return compact_losses(values).astype(np.float64) if name.endswith("_loss") else values

    def _mean(self, names: Sequence[str], seed: int) -> Array:
        mean: Array = np.mean([self.of(name, seed) for name in names], axis=0)
        return mean

    def _cost_s(self, seed: int) -> Array:
        if "training_s" in self._names:
            return self.of("training_s", seed).round(3)
        return (self.of("cost_s", seed) / len(self.seeds)).round(3)


def _trained(
    frame: pd.DataFrame, space: SearchSpace, class_of: npt.NDArray[np.int32] | None
) -> tuple[pd.DataFrame, Built]:
    """Rows of finished trainings, of each architecture or canonical form the first; and what that leaves out.

    Raises:
        InputError: There is none, or an architecture has no index.
    """
    status = frame["status"].astype(str)
    finished = frame[status == "finished"]
    if finished.empty:
        raise InputError("the run has no finished training yet, so there is no table to make of it")
    if finished["index"].isna().any():
        raise InputError(f"search space {space.name}: {space.size:,} architectures are too many for a table")
    firsts = finished.drop_duplicates("proposal")
    index = firsts["index"].to_numpy(dtype=np.int64)
    stands_for = index if class_of is None else class_of[index]
    chosen = firsts["proposal"].to_numpy()[np.unique(stands_for, return_index=True)[1]]
    n_of = {
        state: int(frame["proposal"][status == state].nunique()) for state in ("failed", "running", "paused")
    }
    return finished[finished["proposal"].isin(chosen)], Built(
        n_trained=chosen.size,
        n_wanted=space.size if class_of is None else int(class_of.max()) + 1,
        n_failed=n_of["failed"],
        n_unfinished=n_of["running"] + n_of["paused"],
        shares=class_of is not None,
    )


def _trained_as(
    class_of: npt.NDArray[np.int32], trained: npt.NDArray[np.int64]
) -> npt.NDArray[np.integer[Any]]:
    """``(size,)`` which training stands for each architecture, -1 for none."""
    of_class = np.full(int(class_of.max()) + 1, -1, dtype=np.int64)
    of_class[class_of[trained]] = trained
    found: npt.NDArray[np.int64] = of_class[class_of]
    return found


def _shares_forms(config: Mapping[str, Any]) -> bool:
    """Whether what is trained stands for its canonical form: by the searcher's choice or the workload's."""
    searcher, workload = (str(config[key]["name"]) for key in ("searcher", "workload"))
    return searcher == "distinct" or workload == "train_canonical_cell"


def _schedule(config: Mapping[str, Any]) -> int:
    epochs = config["workload"].get("epochs", 0)
    return epochs if isinstance(epochs, int) else 0


def _metric(name: str, meaning: str = "") -> Metric:
    """The declaration of a metric by its name."""
    if name in _DECLARED:
        return _DECLARED[name]
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
    column = next((column for column in results.COLUMNS if column.name == name), None)
    said = meaning or (column.meaning if column else "as the workload reports it")
    return Metric(name, "float32" if unit == "nats" else "float64", unit, said)


# What the metadata say


def _source(
    frame: pd.DataFrame, config: Mapping[str, Any], built: Built, schedule: int, seeds: tuple[int, ...]
) -> str:
    return (
        f"run '{frame['run'].iloc[0]}': {built}, trained on {config['dataset']['name']} "
        f"by {config['workload']['name']}, {schedule} epochs, seeds {spans(seeds)}"
    )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("search_space", "dataset", "workload", "searcher", "scheduler", "seed", "batch")
    return {key: config[key] for key in kept if key in config}


def _cost(frame: pd.DataFrame) -> dict[str, Any]:
    """Hours that the run took."""
    took = frame["time"].max() - frame["time"].min()
    cost = {
        "first_to_last_report_h": round(took.total_seconds() / 3600, 3),
        "all_trials_h": round(float(frame["cost_s"].sum()) / 3600, 3),
    }
    seconds = [name for name in frame.columns if str(name).startswith("training_s.")]
    if seconds:
        cost["training_and_validation_cpu_h"] = round(float(frame[seconds].sum().sum()) / 3600, 3)
    return cost


def _agreement(metrics: Sequence[tuple[Metric, Callable[[int], Array]]], seeds: Sequence[int]) -> Any:
    """Kendall's tau between seeds at the last epoch."""
    found = {}
    for metric, values in metrics:
        if metric.name in COMPARED and len(seeds) > 1:
            last = np.stack([values(seed)[:, -1] for seed in seeds], axis=1)
            taus = {
                said: seed_tau(last, best=best, lower_is_better=metric.unit == "nats")
                for said, best in (("all", 1.0), ("best_quarter", 0.25))
            }
            found[metric.name] = {said: round(tau, 3) for said, tau in taus.items() if not np.isnan(tau)}
    return found


def _made_on() -> dict[str, Any]:
    """Machine and versions, as they are now: a run's journal does not record them."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "note": "machine and versions are those of the making of this file",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1] if model else platform.processor()
