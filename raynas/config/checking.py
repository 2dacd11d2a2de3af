"""What only the whole of an experiment shows: parts that do not fit one another, files that are not there.

A component takes part by having a method ``problems``: of a searcher and of a workload it takes the search
space, of a dataset nothing. It yields the name of a field and what is wrong with it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any

from raynas.assets import suggestion
from raynas.config.experiment import Experiment
from raynas.errors import ConfigError, InputError
from raynas.lookup import reason
from raynas.spaces import get_space
from raynas.yaml_document import KeyPath

LOGGER_MODULES = {"tensorboard": "tensorboardX"}


def check(experiment: Experiment, *, here: bool) -> Iterator[tuple[KeyPath, str]]:
    """Every problem of an experiment whose parts are each in order.

    Args:
        experiment: What to look at.
        here: Whether the trials run on this machine, so that their files must be here.

    Yields:
        Path of a value, and what is wrong with it.
    """
    try:
        space = get_space(experiment.search_space)
    except ConfigError as error:
        yield from ((("search_space",), str(problem)) for problem in error.problems)
        return
    except InputError as error:
        yield ("search_space",), str(error)
        return
    yield from _ask("searcher", experiment.searcher, space)
    yield from _ask("workload", experiment.workload, space)
    if here and experiment.dataset is not None:
        yield from _ask("dataset", experiment.dataset)
    if getattr(experiment.workload, "needs_dataset", False) and experiment.dataset is None:
        yield ("dataset",), "is missing; the workload trains on one, such as dataset: digits"
    for at, name in enumerate(experiment.tune.loggers):
        if here and not _installed(LOGGER_MODULES.get(name, name)):
            yield (
                ("tune", "loggers", at),
                f"{name} is not installed; pip install 'raynas[{name}]', or leave it out",
            )
    known: Iterable[str] = getattr(experiment.workload, "metrics", ())
    if known and experiment.report.metric not in known:
        near = suggestion(experiment.report.metric, list(known))
        yield (
            ("report", "metric"),
            f"the workload reports no '{experiment.report.metric}'{near} It reports {', '.join(known)}",
        )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _ask(name: str, component: Any, *context: Any) -> Iterator[tuple[KeyPath, str]]:
    try:
        problems = getattr(component, "problems", None)
        found = [] if problems is None else list(problems(*context))
        yield from [((name, *field.split(".")), message) for field, message in found]
    except Exception as error:
        yield (name,), f"{type(component).__name__}.problems raised {reason(error)}; correct the class"
