"""Every search as tidy frames: what it would answer at each moment, and what it spent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import trajectories
from raynas.studies import _baselines_experiments as searching
from raynas.studies._baselines_experiments import EPOCHS, VALUE

if TYPE_CHECKING:
    import pandas as pd

    from raynas.analysis.trajectories import Floats
    from raynas.studies import Progress
    from raynas.studies._baselines_methods import Method
    from raynas.studies._baselines_searches import Trace
    from raynas.studies._baselines_table import Material
    from raynas.studies._rank_nosh_plan import Plan
    from raynas.studies.rank_nosh import RankNosh

_N_POINTS = 160


@dataclass(frozen=True, eq=False)
class Frames:
    """All numbers.

    Attributes:
        answers: A row each time that what a search would return changes.
        searches: A row a search: the epochs that it spent, those within the budget (``charged``), and what it
            returned.
    """

    answers: pd.DataFrame
    searches: pd.DataFrame


def run(material: Material, plan: Plan, options: RankNosh, progress: Progress) -> Frames:
    """Runs the comparison, then the variants.

    Args:
        material: What is searched.
        plan: What is run on it.
        options: The study.
        progress: Told of each method.
    """
    import pandas as pd

    variants = [variant for of in plan.variants.values() for variant in of]
    both = [
        play(material, methods, options, repeats, progress)
        for methods, repeats in ((plan.methods, options.repeats), (variants, options.ablation_repeats))
        if methods
    ]
    return Frames(
        pd.concat([frames.answers for frames in both], ignore_index=True),
        pd.concat([frames.searches for frames in both], ignore_index=True),
    )


def play(
    material: Material, methods: list[Method], options: RankNosh, repeats: int, progress: Progress
) -> Frames:
    """Runs some methods.

    Args:
        material: What is searched.
        methods: One or more.
        options: The study.
        repeats: Searches of each.
        progress: Told of each method.
    """
    import pandas as pd

    searched = replace(options.searched, repeats=repeats)
    traces = searching.play(material, methods, searched, progress)
    budget = options.budget * material.last
    answers = pd.concat(
        [
            _answers(trace, material, budget).assign(method=method, repeat=repeat, seed=options.seed + repeat)
            for (method, repeat), trace in traces.items()
        ],
        ignore_index=True,
    )
    first = ["method", "repeat", "seed"]
    answers = answers[first + [name for name in answers.columns if name not in first]]
    searches = searching.searches(traces, material.last, searched).drop(columns="seconds")
    searches["charged"] = searches[EPOCHS].clip(upper=budget)
    final = answers.groupby(["method", "repeat"])[[VALUE, "index"]].last()
    return Frames(answers, searches.join(final, on=["method", "repeat"]))


def values(answers: pd.DataFrame, method: str, costs: Floats, repeats: int) -> Floats:
    """What a method's answers are worth.

    Args:
        answers: As in ``Frames``.
        method: Its name.
        costs: ``(n_costs,)`` epochs.
        repeats: How many of its searches, from the first.

    Returns:
        ``(repeats, n_costs)`` percent; NaN before a search has an answer.
    """
    of_method = answers[answers["method"] == method]
    rows = []
    for repeat in range(repeats):
        part = of_method[of_method["repeat"] == repeat]
        rows.append(trajectories.steps(costs, part[EPOCHS].to_numpy(float), part[VALUE].to_numpy(float)))
    return np.stack(rows)


def mean_curves(answers: pd.DataFrame, methods: list[str], budget: int, repeats: int) -> pd.DataFrame:
    """Mean curves over epochs, as ``trajectories.mean_curves`` gives them.

    Args:
        answers: As in ``Frames``.
        methods: Whose.
        budget: Where they end.
        repeats: How many searches of each, from the first.
    """
    import pandas as pd

    grid = np.unique(np.rint(trajectories.cost_grid(1, budget, _N_POINTS)))
    curves = pd.concat(
        [
            pd.DataFrame(
                {
                    "method": method,
                    "axis": EPOCHS,
                    "cost": np.tile(grid, repeats),
                    "repeat": np.repeat(np.arange(repeats), len(grid)),
                    VALUE: values(answers, method, grid, repeats).ravel(),
                }
            )
            for method in methods
        ],
        ignore_index=True,
    )
    return trajectories.mean_curves(curves, VALUE)


def _answers(trace: Trace, material: Material, budget: int) -> pd.DataFrame:
    """The incumbent each time that it is another one; nothing read beyond the budget."""
    import pandas as pd

    places = searching.incumbents(trace, material, budget)
    moments = np.flatnonzero(np.diff(places, prepend=-1))
    chosen = places[moments]
    return pd.DataFrame(
        {
            EPOCHS: trace.epochs[moments],
            VALUE: material.truth[trace.indices[chosen]],
            "reading": trace.readings[chosen],
            "read_at": trace.read_at[chosen],
            "index": trace.indices[chosen],
        }
    )
