"""Trials as NAS-Bench-201 and NATS-Bench record them, gathered into runs of a table, some hundred at a time.

Both keep for each architecture and schedule an ``ArchResults``, and in it for each dataset and seed a
``ResultsCount`` with its curves; the classes are those of the ``nas-bench-201`` package.

Departure: the two report as an architecture's parameters and FLOPs the mean over its trials. Where trials
differ, which is a known fault of some, those of seed 888 are taken, as NATS-Bench's later API does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from raynas.benchmarks.schema import Metric
from raynas.benchmarks.writing import Runs
from raynas.errors import InputError
from raynas.spaces import SearchSpace

SPACE = "nas_bench_201"

EXTRA = (
    Metric("valtest_loss", "float32", "nats", "mean cross-entropy on validation and test split together"),
    Metric("valtest_accuracy_pct", "float64", "percent", "accuracy on validation and test split together"),
    Metric("valid_s", "float32", "seconds", "time of one evaluation on the validation split"),
)
"""Metrics beside those of every table. ``cost_s`` is the time of training alone."""

_DATASETS = {
    "cifar10-valid": "cifar10_valid",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "ImageNet16-120": "imagenet16_120",
}
_OF_A_SPLIT = ("loss", "accuracy_pct")
_SPLITS = {"x-valid": "valid", "x-test": "test", "ori-test": "valtest"}
# CIFAR-10 has no test split of the benchmark's own, so its original test set is not validation and test.
_SPLITS_CIFAR10 = {"x-valid": "valid", "ori-test": "test"}
_TRUSTED_SEED = 888
_AT_A_TIME = 500

_log = logging.getLogger(__name__)


def create(state: Any) -> Any:
    """The package's ``ArchResults`` of a state that was saved.

    Raises:
        InputError: The package is not installed.
    """
    try:
        from nas_201_api import ArchResults
    except ImportError as error:
        raise InputError(f"the package nas-bench-201 is needed and not usable: {error}") from error
    return ArchResults.create_from_state_dict(state)


def gather(space: SearchSpace, results: Iterable[Any], *, at_a_time: int = _AT_A_TIME) -> Iterator[Runs]:
    """Runs of all trials.

    Args:
        space: NAS-Bench-201's.
        results: ``ArchResults``, taken one after the other and let go.
        at_a_time: How many to take before giving their runs.
    """
    gathered: dict[tuple[str, int, int], _Gathered] = {}
    for number, result in enumerate(results, start=1):
        index = space.index(space.parse(result.arch_str))
        for dataset in result.get_dataset_names():
            trials = result.query(dataset)
            costs = _costs(trials)
            for seed, trial in trials.items():
                epochs = int(trial.epochs)
                runs = gathered.setdefault((dataset, epochs, int(seed)), _Gathered())
                runs.indices.append(index)
                for name, values in {**_curves(dataset, trial, epochs), **costs}.items():
                    runs.metrics.setdefault(name, []).append(values)
        if number % at_a_time == 0:
            yield from _runs(gathered)
            gathered.clear()
    yield from _runs(gathered)


@dataclass
class _Gathered:
    indices: list[int] = field(default_factory=list)
    metrics: dict[str, list[npt.NDArray[np.float64]]] = field(default_factory=dict)


def _runs(gathered: Mapping[tuple[str, int, int], _Gathered]) -> Iterator[Runs]:
    for (dataset, epochs, seed), runs in sorted(gathered.items()):
        yield Runs(
            dataset=_DATASETS.get(dataset, dataset.lower().replace("-", "_")),
            schedule=epochs,
            seed=seed,
            epochs=tuple(range(1, epochs + 1)),
            indices=np.array(runs.indices),
            metrics={name: np.stack(values) for name, values in runs.metrics.items()},
        )


def _curves(dataset: str, trial: Any, epochs: int) -> dict[str, npt.NDArray[np.float64]]:
    """``(n_epochs,)`` values of every metric, NaN where the trial does not tell."""
    numbers = range(epochs)
    splits = _SPLITS_CIFAR10 if dataset.startswith("cifar10-") or dataset == "cifar10" else _SPLITS
    curves = {
        "train_loss": _curve(trial.train_losses, numbers),
        "train_accuracy_pct": _curve(trial.train_acc1es, numbers),
        "cost_s": _curve(trial.train_times, numbers),
        **{f"{split}_{what}": np.full(epochs, np.nan) for split in splits.values() for what in _OF_A_SPLIT},
        "valid_s": np.full(epochs, np.nan),
    }
    for name in trial.eval_names:
        if name not in splits:
            _warn(dataset, name)
            continue
        keys = [f"{name}@{number}" for number in numbers]
        curves[f"{splits[name]}_loss"] = _curve(trial.eval_losses, keys)
        curves[f"{splits[name]}_accuracy_pct"] = _curve(trial.eval_acc1es, keys)
        if splits[name] == "valid":
            curves["valid_s"] = _curve(trial.eval_times, keys)
    return curves


@cache
def _warn(dataset: str, split: str) -> None:
    _log.warning("left out the split '%s' of %s, which raynas does not know", split, dataset)


def _curve(values: Any, keys: Sequence[Any]) -> npt.NDArray[np.float64]:
    if values is None:
        return np.full(len(keys), np.nan)
    if isinstance(values, list | tuple):
        values = dict(enumerate(values))
    found = (values.get(key) for key in keys)
    try:
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"a trial holds {error} where a number is due") from error


def _costs(trials: Mapping[int, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Parameters and multiply-adds, both in millions, as scalars."""
    costs = {"parameters_m": "params", "flops_m": "flop"}
    found = {}
    for metric, attribute in costs.items():
        values = {seed: float(getattr(trial, attribute)) for seed, trial in trials.items()}
        differ = len({f"{value:.5f}" for value in values.values()}) > 1
        first = next(iter(values.values()))
        found[metric] = np.array(values.get(_TRUSTED_SEED, first) if differ else first)
    return found
