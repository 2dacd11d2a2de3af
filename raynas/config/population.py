"""What population based training changes in an experiment: keys that trials under way may change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from raynas.assets import suggestion
from raynas.config.experiment import Experiment
from raynas.config.plain import to_plain
from raynas.lookup import name_of
from raynas.search.scheduler.ray_tune import CHANGES, NAMES, RayTune
from raynas.search.sweep import Interval, Listed, Range, Value, ranges
from raynas.yaml_document import KeyPath


def beginnings(experiment: Experiment) -> dict[str, Value]:
    """What the configuration has for the keys that the scheduler changes; empty for most schedulers."""
    changes = _changes(experiment)
    known = _values(to_plain(experiment)) if changes else {}
    return {path: known[path] for path in changes}


def changed_ranges(experiment: Experiment) -> dict[KeyPath, Range]:
    """The ranges of the keys that the scheduler changes, by where the configuration describes them."""
    spec = experiment.scheduler
    place = ("scheduler", "options", CHANGES.get(getattr(spec, "scheduler", ""), ""))
    return {(*place, path): of for path, of in _changes(experiment).items()}


def problems(experiment: Experiment) -> Iterator[tuple[KeyPath, str]]:
    """What a scheduler that changes trials under way cannot do in an experiment, as (path, message)."""
    spec, workload = experiment.scheduler, experiment.workload
    if not isinstance(spec, RayTune) or spec.scheduler not in CHANGES:
        return
    others = f"use one of {', '.join(name for name in NAMES if name not in CHANGES)}"
    lead = f"{spec.scheduler} changes the hyperparameters of running trials, and"
    changeable: tuple[str, ...] = getattr(workload, "changeable", ())
    if getattr(workload, "needs_architecture", True):
        yield ("scheduler", "scheduler"), f"{lead} a sampled architecture has none; {others}"
    elif not changeable:
        name = name_of("raynas.workloads", workload)
        yield ("scheduler", "scheduler"), f"{lead} {name} names none that may (changeable); {others}"
    else:
        yield from _of_options(spec)
        yield from _of_keys(experiment, changeable)
        yield from _of_sweep(experiment, changeable)


def _of_options(spec: RayTune) -> Iterator[tuple[KeyPath, str]]:
    option = CHANGES[spec.scheduler]
    if not spec.changes:
        message = "is missing; name what is changed, such as {method.arch_gradient.rho: "
        ends = "[0.01, 1.0]" if spec.scheduler == "pb2" else "[0.01, 0.1, 1.0]"
        yield ("scheduler", "options", option), f"{message}{ends}}}"
    if "perturbation_interval" not in spec.options:
        yield (
            ("scheduler", "options", "perturbation_interval"),
            "is missing; give the epochs between two looks at a trial",
        )


def _of_keys(experiment: Experiment, changeable: tuple[str, ...]) -> Iterator[tuple[KeyPath, str]]:
    plain = to_plain(experiment)
    known, swept = _values(plain), ranges(experiment.sweep)
    for place, of in changed_ranges(experiment).items():
        path = str(place[-1])
        if path not in known:
            yield place, f"is no single value of the configuration{suggestion(path, list(known))}"
        elif not _below(path, changeable):
            yield (
                place,
                f"a trial under way cannot change it; numbers below {', '.join(changeable)} can be changed",
            )
        elif isinstance(of, Interval):
            first = swept[path].samples() if path in swept else (known[path],)
            if odd := [value for value in first if not _is_number(value)]:
                yield place, f"begins as {odd[0]!r}, which is not in an interval; set it, or list values"


def _of_sweep(experiment: Experiment, changeable: tuple[str, ...]) -> Iterator[tuple[KeyPath, str]]:
    name, swept = experiment.scheduler.scheduler, ranges(experiment.sweep)  # type: ignore[attr-defined]
    for path in swept:
        if path != "seed" and not _below(path, changeable):
            yield (
                ("sweep", path),
                f"{name} lets trials go on from each other's states, and those of different {path} cannot; "
                f"sweep seed, or keys below {', '.join(changeable)}",
            )
    sampler = getattr(experiment.searcher, "sampler", "grid")
    if sampler not in ("grid", "random"):
        yield (
            ("searcher", "sampler"),
            f"{sampler} learns from what its values gave, and {name} changes them on the way; use random",
        )
    at_once, n_trials = experiment.tune.max_concurrent, _n_trials(experiment, swept)
    if at_once is not None and n_trials is not None and at_once < n_trials:
        yield (
            ("tune", "max_concurrent"),
            f"{at_once} is below the {n_trials} trials, and {name} compares those that have begun; leave it "
            "out, and they take turns",
        )


def _n_trials(experiment: Experiment, swept: Mapping[str, Range]) -> int | None:
    given: int | None = getattr(experiment.searcher, "n_proposals", None)
    if given is None and all(isinstance(of, Listed) for of in swept.values()):
        return math.prod(len(of.samples()) for of in swept.values())
    return given


def _changes(experiment: Experiment) -> dict[str, Range]:
    spec = experiment.scheduler
    return spec.changes if isinstance(spec, RayTune) else {}


def _below(path: str, changeable: tuple[str, ...]) -> bool:
    """Whether a path leads to a value of a component, rather than to which component it is."""
    within = any(path == place or path.startswith(f"{place}.") for place in changeable)
    return within and not path.endswith(".name")


def _values(plain: Any, *above: str) -> dict[str, Value]:
    """The single values of plain data, by their dotted paths."""
    if isinstance(plain, Mapping):
        entries = {str(key): value for key, value in plain.items()}
    elif isinstance(plain, list):
        entries = {str(at): value for at, value in enumerate(plain)}
    else:
        return {".".join(above): plain}
    return {
        path: value for key, item in entries.items() for path, value in _values(item, *above, key).items()
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
