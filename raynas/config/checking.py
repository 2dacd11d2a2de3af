"""What only the whole of an experiment shows: parts that do not fit one another, files that are not there.

A component takes part by having a method ``problems``: of a searcher and of a workload it takes the search
space, of a dataset nothing. A workload's ``table_problems`` takes the table and the metric, its
``supernet_problems`` the supernet's path, the space and the dataset, and a scheduler's ``epoch_problems`` the
last epoch of every trial. Each yields the name of a field and what is wrong with it; of supernets, the
experiment's field.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any

from raynas.assets import suggestion
from raynas.benchmarks import Table, open_table
from raynas.config import population
from raynas.config.experiment import Experiment
from raynas.errors import ConfigError, InputError
from raynas.lookup import name_of, reason
from raynas.spaces import SearchSpace, get_space
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
    yield from _ask("searcher", experiment.searcher, experiment.context().sweep, method="sweep_problems")
    yield from _of_architectures(experiment)
    yield from _ask("workload", experiment.workload, space)
    yield from _of_supernet(experiment, space, here=here)
    if here and experiment.dataset is not None:
        yield from _ask("dataset", experiment.dataset)
    if getattr(experiment.workload, "needs_dataset", False) and experiment.dataset is None:
        yield ("dataset",), "is missing; the workload trains on one, such as dataset: digits"
    if getattr(experiment.workload, "needs_method", False):
        if experiment.method is None:
            yield ("method",), "is missing; the workload needs one, such as method: {} for DARTS"
        else:
            yield from _ask("method", experiment.method, space)
            asked = experiment.method, experiment.report.metric
            yield from _ask("workload", experiment.workload, *asked, method="method_problems")
            if (width := getattr(experiment.workload, "width", None)) is not None:
                yield from _ask("method", experiment.method, width(space) or 0, method="width_problems")
    elif experiment.method is not None:
        yield ("method",), f"{_called(experiment.workload)} runs none; use workload: differentiable_search"
    if getattr(experiment.workload, "needs_table", False) and experiment.table is None:
        yield ("table",), "is missing; the workload looks results up in one, such as table: digits"
    last_epoch = getattr(experiment.workload, "last_epoch", None)
    if experiment.table is None and experiment.report.metric in getattr(
        experiment.workload, "table_metrics", ()
    ):
        yield ("table",), f"is missing; {experiment.report.metric} is looked up in one, such as table: digits"
    if here and experiment.table is not None:
        table, problems = _table(experiment.table, space)
        yield from problems
        if table is not None:
            metric = experiment.report.metric
            yield from _ask("workload", experiment.workload, table, metric, method="table_problems")
            if hasattr(experiment.workload, "last_epoch_in"):
                last_epoch = experiment.workload.last_epoch_in(table)
    if last_epoch is not None:
        yield from _ask("scheduler", experiment.scheduler, last_epoch, method="epoch_problems")
    yield from population.problems(experiment)
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


def _of_architectures(experiment: Experiment) -> Iterator[tuple[KeyPath, str]]:
    """Whether the searcher proposes what the workload needs."""
    needed = getattr(experiment.workload, "needs_architecture", True)
    proposed = getattr(experiment.searcher, "proposes_architectures", True)
    if needed and not proposed:
        message = f"proposes no architectures, and {_called(experiment.workload)} needs them; name another"
        yield ("searcher",), f"{message}, such as searcher: random_search"
    if proposed and not needed:
        message = f"proposes architectures, and {_called(experiment.workload)} finds them itself"
        yield ("searcher",), f"{message}; leave the searcher out, or use searcher: sweep"
    if proposed and experiment.sweep and not getattr(experiment.searcher, "takes_sweep", False):
        message = "is for searcher: sweep; leave one of the two out, or search under each value with for_each"
        yield ("sweep",), message


def _of_supernet(experiment: Experiment, space: SearchSpace, *, here: bool) -> Iterator[tuple[KeyPath, str]]:
    """Whether trials find the supernet that they need, or one is trained for them first."""
    workload, supernet = experiment.workload, experiment.supernet
    needed = getattr(workload, "needs_supernet", False)
    if not needed and supernet is not None:
        yield ("supernet",), f"{_called(workload)} takes no weights from one; use workload: score_subnet"
    elif needed and experiment.prelude is None and supernet is None:
        message = "is missing; name the run that trained one, as in supernet: runs/NAME, or say by "
        yield ("supernet",), f"{message}workload.training how to train one first"
    elif needed and experiment.prelude is not None and supernet is not None:
        message = "is there, and workload.training would train another; leave one of the two out"
        yield ("supernet",), f"{message}, as by -o workload.training=null"
    elif supernet is not None and here:
        yield from _ask("", workload, supernet, space, experiment.dataset, method="supernet_problems")
    if experiment.prelude is not None and getattr(experiment.scheduler, "needs_ray", False):
        yield (
            ("scheduler",),
            "Ray Tune's own schedulers know no trial that all others wait for; use another, such as "
            "scheduler: fifo, or train the supernet in a run of its own",
        )


def _called(component: object) -> str:
    return name_of("raynas.workloads", component)


def _table(name: str, space: SearchSpace) -> tuple[Table | None, list[tuple[KeyPath, str]]]:
    try:
        table = open_table(name)
    except InputError as error:
        return None, [(("table",), str(error))]
    if table.space.name == space.name:
        return table, []
    other = table.space.name
    return None, [(("table",), f"is of search space {other}, not {space.name}; use search_space: {other}")]


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _ask(name: str, component: Any, *context: Any, method: str = "problems") -> Iterator[tuple[KeyPath, str]]:
    try:
        problems = getattr(component, method, None)
        found = [] if problems is None else list(problems(*context))
        inside = (name,) if name else ()
        yield from [((*inside, *field.split(".")), message) for field, message in found]
    except Exception as error:
        yield (name,), f"{type(component).__name__}.{method} raised {reason(error)}; correct the class"
