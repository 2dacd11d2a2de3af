"""Every search with every seed, as tidy frames: its curve, its counts, and how it compares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import trajectories
from raynas.errors import InputError
from raynas.studies._baselines_methods import RANDOM, Method
from raynas.studies._baselines_searches import Trace, search
from raynas.studies._baselines_table import TRUTH, Material

if TYPE_CHECKING:
    import pandas as pd

    from raynas.analysis.trajectories import Floats, Places
    from raynas.config import Experiment
    from raynas.studies import Progress
    from raynas.studies.baselines import Baselines

EPOCHS, SECONDS = "epochs", "seconds"
VALUE = TRUTH
_N_POINTS = 120


@dataclass(frozen=True, eq=False)
class Frames:
    """All numbers.

    Attributes:
        curves: A row a (method, repeat, axis, cost): what the search would return then.
        summary: A row a (method, fraction of the budget).
        searches: A row a (method, repeat): what the search spent.
    """

    curves: pd.DataFrame
    summary: pd.DataFrame
    searches: pd.DataFrame


def run(material: Material, methods: list[Method], options: Baselines, progress: Progress) -> Frames:
    """Runs all searches.

    Args:
        material: What is searched.
        methods: Random search among them.
        options: The study.
        progress: Told of each method.
    """
    import pandas as pd

    budget = options.budget * material.last
    traces = play(material, methods, options, progress)
    progress("comparing")
    budgets = {fraction: float(round(fraction * budget)) for fraction in sorted(options.fractions)}
    grids = {
        EPOCHS: np.unique(np.rint(trajectories.cost_grid(1, budget, _N_POINTS, list(budgets.values())))),
        SECONDS: _seconds_grid(traces.values()),
    }
    curves = pd.concat(
        [
            _curve(trace, axis, grid, material, budget).assign(
                method=method, repeat=repeat, seed=options.seed + repeat
            )
            for (method, repeat), trace in traces.items()
            for axis, grid in grids.items()
        ],
        ignore_index=True,
    )
    first = ["method", "repeat", "seed", "axis", "cost"]
    curves = curves[first + [name for name in curves.columns if name not in first]]
    optimum = float(material.truth.max())
    summary = trajectories.summary(curves, VALUE, axis=EPOCHS, budgets=budgets, optimum=optimum)
    return Frames(curves, _tested(summary, curves), searches(traces, material.last, options))


def play(
    material: Material, methods: list[Method], options: Baselines, progress: Progress
) -> dict[tuple[str, int], Trace]:
    """Every search of every method, by the method's name and the repeat.

    Args:
        material: What is searched.
        methods: Those to run.
        options: Of the study; its budget is in full trainings.
        progress: Told of each method.

    Raises:
        InputError: A method cannot work in the space.
    """
    _check(methods, material)
    traces: dict[tuple[str, int], Trace] = {}
    for number, method in enumerate(methods, start=1):
        progress(f"{number} of {len(methods)}: {method.label}")
        for repeat in range(options.repeats):
            traces[method.name, repeat] = search(
                _experiment(material, method, options, options.seed + repeat),
                material.table.space,
                budget=options.budget * material.last,
                workers=options.workers,
                early=method.stops_early,
            )
    return traces


def _check(methods: list[Method], material: Material) -> None:
    for method in methods:
        of_searcher = getattr(method.searcher, "problems", None)
        for name, message in () if of_searcher is None else of_searcher(material.table.space):
            raise InputError(f"{method.label}: {name}: {message}")


def _experiment(material: Material, method: Method, options: Baselines, seed: int) -> Experiment:
    from raynas.config import Experiment
    from raynas.workloads.query_table import CostModel, QueryTable

    workload = QueryTable(
        dataset=material.part.dataset,
        schedule=material.part.schedule,
        seed="draw" if options.reading == "draw" else "mean",
        cost=None if options.epoch_s is None else CostModel(options.epoch_s),
    )
    return Experiment(
        search_space=material.table.about.space,
        workload=workload,
        searcher=method.searcher,
        report=material.objective,
        table=str(material.table.path),
        scheduler=method.scheduler,
        seed=seed,
    )


def _seconds_grid(traces: Iterable[Trace]) -> Floats:
    made = list(traces)
    last = max(trace.ended_s for trace in made)
    return trajectories.cost_grid(min(_first_s(trace) for trace in made), last, _N_POINTS)


def _first_s(trace: Trace) -> float:
    return float(trace.seconds[0]) if len(trace.seconds) else trace.ended_s


def _curve(trace: Trace, axis: str, grid: Floats, material: Material, budget: int) -> pd.DataFrame:
    """The incumbent at the costs of a grid: nothing read beyond the budget; in seconds, to its end."""
    import pandas as pd

    places = incumbents(trace, material, budget)
    costs = (trace.epochs.astype(float) if axis == EPOCHS else trace.seconds)[: len(places)]
    shown = grid if axis == EPOCHS else grid[grid <= trace.ended_s]
    at = trajectories.steps(shown, costs, places)
    known = at >= 0  # neither NaN, before the first reading, nor -1, before the first that is a number
    place = np.where(known, at, -1).astype(np.int64)
    index, read_at = (np.append(every, 0)[place] for every in (trace.indices, trace.read_at))
    return pd.DataFrame(
        {
            "axis": axis,
            "cost": shown,
            VALUE: np.where(known, material.truth[index], np.nan),
            "reading": np.append(trace.readings, np.nan)[place],
            "read_at": pd.Series(read_at, dtype="Int64").where(known),
            "index": pd.Series(index, dtype="Int64").where(known),
        }
    )


def incumbents(trace: Trace, material: Material, budget: int) -> Places:
    """Place of the incumbent after each reading that came within the budget; -1 while there is none."""
    n = int(np.searchsorted(trace.epochs, budget, side="right"))
    return trajectories.incumbents(
        trace.readings[:n],
        epochs=trace.read_at[:n],
        proposals=trace.proposals[:n],
        mode=material.objective.mode,
    )


def _tested(summary: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The summary with p-values against random search, where all repeats have a value."""
    of_epochs = curves[curves["axis"] == EPOCHS]
    p_values = []
    for method, cost in zip(summary["method"], summary["cost"], strict=True):
        there = of_epochs[of_epochs["cost"] == cost].set_index("repeat")
        its, random = (there.loc[there["method"] == name, VALUE].sort_index() for name in (method, RANDOM))
        tested = method != RANDOM and its.notna().all() and random.notna().all()
        p_values.append(trajectories.p_above(its, random) if tested else np.nan)
    return summary.assign(p_above_random=p_values)


def searches(traces: dict[tuple[str, int], Trace], last: int, options: Baselines) -> pd.DataFrame:
    """What each search spent, a row a (method, repeat)."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "method": method,
                "repeat": repeat,
                "seed": options.seed + repeat,
                "nominal": trace.counts.nominal,
                "unique": trace.counts.unique,
                "to_the_end": int((trace.trained == last).sum()),
                "epochs": trace.spent,
                "seconds": trace.ended_s,
            }
            for (method, repeat), trace in traces.items()
        ]
    )
