"""The presets that the study compares, at its size: what a preset counts in epochs is scaled with them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynas import assets
from raynas.config import Experiment, load, override
from raynas.config.plain import to_plain
from raynas.differentiable.method import SLOTS, ArchOptimizer, Method
from raynas.errors import InputError
from raynas.lookup import name_of
from raynas.workloads.differentiable_search import DifferentiableSearch
from raynas.yaml_document import load as load_yaml

if TYPE_CHECKING:
    from raynas.studies.differentiable import Differentiable

SPACE = "nas_bench_201"
_LENGTHS = ("warmup", "interval", "history", "tune_epochs", "patience", "start")
"""Fields of decisions and stopping rules that are numbers of epochs."""


@dataclass(frozen=True)
class Preset:
    """A shipped search at the study's size.

    Attributes:
        name: Of its configuration.
        experiment: What runs, but for the seed.
        epochs: Of its search, without those of tuning.
        plain: Whether it is DARTS at first order with nothing added.
        partner: For A2M, the preset that lacks nothing but it; None where it has none here.
        changes: What is other than in its configuration: key of the method, value there, value here.
    """

    name: str
    experiment: Experiment
    epochs: int
    plain: bool
    partner: str | None
    changes: tuple[tuple[str, str, str], ...]


def scaled(method: Method, epochs: int) -> Method:
    """A search in another number of epochs, everything that is counted in epochs in proportion.

    Coefficients that change over a search do so by the share of it that is over, so they need no scaling.

    Args:
        method: Left as it is.
        epochs: Of the search, without those of tuning.

    Returns:
        Numbers of epochs rounded to the nearest, halves up; at least 1 where they were, 0 where they were.
    """
    ratio = epochs / method.epochs
    return dataclasses.replace(
        method,
        epochs=epochs,
        warmup_epochs=_length(method.warmup_epochs, ratio),
        decision=tuple(_component(decision, ratio) for decision in method.decision),
        stopping=None if method.stopping is None else _component(method.stopping, ratio),
    )


def method_of(experiment: Experiment) -> Method:
    """An experiment's differentiable search.

    Raises:
        InputError: It has none.
    """
    if experiment.method is None:
        raise InputError("methods: a configuration has no method; give one, such as darts_nb201")
    return experiment.method


def shipped() -> list[str]:
    """Differentiable searches on NAS-Bench-201 that sweep seeds alone and were not made for a table."""
    # By their text alone: to build and check every configuration there is takes much longer.
    texts = {name: load_yaml(assets.find("tune_configs", name)).data for name in assets.names("tune_configs")}
    return [name for name, data in texts.items() if isinstance(data, dict) and _is_one(data)]


def read(options: Differentiable, space: str) -> list[Preset]:
    """The presets, plain DARTS first and each with A2M after the one without.

    Args:
        options: Of the study.
        space: Name of the table's search space.

    Raises:
        InputError: One is no differentiable search on NAS-Bench-201, or cannot have this size.
    """
    names = options.methods or tuple(shipped())
    published = {name: _published(name) for name in names}
    if not any(map(_is_plain, published.values())):
        others = ((name, _published(name)) for name in shipped())
        published.update(itertools.islice((pair for pair in others if _is_plain(pair[1])), 1))
    presets = []
    for name, experiment in published.items():
        small = _small(name, options, space)
        preset = Preset(
            name=Path(name).stem,
            experiment=small,
            epochs=options.epochs,
            plain=_is_plain(experiment),
            partner=_partner(experiment, published),
            changes=_changes(experiment, small),
        )
        presets.append(preset)
    return _arranged(presets)


def _length(n: int, ratio: float) -> int:
    return max(1, int(n * ratio + 0.5)) if n else 0


def _component(component: Any, ratio: float) -> Any:
    names = {field.name for field in dataclasses.fields(component)}
    values: dict[str, Any] = {
        name: _length(getattr(component, name), ratio) for name in _LENGTHS if name in names
    }
    if "epochs" in names:  # ends of stages, which must go on rising
        ends: list[int] = []
        for end in component.epochs:
            ends.append(max(_length(end, ratio), ends[-1] + 1 if ends else 1))
        values["epochs"] = tuple(ends)
    return dataclasses.replace(component, **values)


def _is_one(data: Mapping[str, Any]) -> bool:
    workload = data.get("workload")
    return (
        (workload.get("name") if isinstance(workload, Mapping) else workload) == "differentiable_search"
        and data.get("search_space") == SPACE
        and data.get("table") is None
        and set(data.get("sweep") or ()) <= {"seed"}
    )


def _published(name: str) -> Experiment:
    experiment = load(name, [override("sweep={}")], here=False)
    if not isinstance(experiment.workload, DifferentiableSearch) or experiment.search_space != SPACE:
        raise InputError(
            f"methods: {name} is no differentiable search on {SPACE}; give one, such as darts_nb201"
        )
    return experiment


def _small(name: str, options: Differentiable, space: str) -> Experiment:
    """The configuration with the study's images and size, checked as a whole."""
    skeleton = f"{{name: {SPACE}, channels: {options.channels}, cells: {options.cells}}}"
    values = {
        "search_space": space,
        "dataset": options.images,
        "table": "null",
        "sweep": "{}",
        "seed": "0",
        "report": "{metric: valid_accuracy_pct, mode: max}",
        "workload.skeleton": skeleton,
        "workload.precision": "float32",
        "workload.table_dataset": "null",
        "workload.max_batches": "null" if options.max_batches is None else str(options.max_batches),
        "tune.resources": "{cpu: 1, gpu: 0}",
    }
    experiment = load(name, [override(f"{key}={value}") for key, value in values.items()])
    method = method_of(experiment)
    lr = float(f"{method.alpha.lr * options.alpha_lr / ArchOptimizer.lr:.12g}")
    return dataclasses.replace(
        experiment,
        method=dataclasses.replace(
            scaled(method, options.epochs),
            batch_size=options.batch_size,
            alpha=dataclasses.replace(method.alpha, lr=lr),
        ),
    )


def _is_plain(experiment: Experiment) -> bool:
    """Whether no slot holds anything but DARTS at first order; what ends the search may be any."""
    method, plain = method_of(experiment), Method()
    return all(getattr(method, name) == getattr(plain, name) for name in SLOTS if name != "stopping")


def _partner(experiment: Experiment, others: Mapping[str, Experiment]) -> str | None:
    method = method_of(experiment)
    if name_of(SLOTS["arch_gradient"].package, method.arch_gradient) != "a2m":
        return None
    for name, other in others.items():
        of = method_of(other)
        same = dataclasses.replace(method, arch_gradient=of.arch_gradient, stopping=of.stopping)
        if same == of and of.arch_gradient == Method().arch_gradient:
            return Path(name).stem
    return None


def _changes(published: Experiment, small: Experiment) -> tuple[tuple[str, str, str], ...]:
    before, after = (dict(_flat(to_plain(one)["method"])) for one in (published, small))
    return tuple((key, before[key], after[key]) for key in before if before[key] != after[key])


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Every single value with its dotted path; lists of numbers are single values."""
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        items = [(str(place), item) for place, item in enumerate(value)]
    else:
        return [(path, str(value))]
    return [entry for key, item in items for entry in _flat(item, f"{path}.{key}" if path else key)]


def _arranged(presets: Sequence[Preset]) -> list[Preset]:
    alone = [preset for preset in presets if preset.partner is None]
    ordered = []
    for preset in sorted(alone, key=lambda one: not one.plain):
        ordered += [preset, *(one for one in presets if one.partner == preset.name)]
    return ordered
