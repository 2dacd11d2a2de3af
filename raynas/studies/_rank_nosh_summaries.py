"""Means, spreads and tests of answers: after equal epochs, and of variants beside RANK-NOSH itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import trajectories
from raynas.studies._baselines_experiments import EPOCHS
from raynas.studies._rank_nosh_claim import quantiles
from raynas.studies._rank_nosh_experiments import Frames, values
from raynas.studies._rank_nosh_methods import RANK_NOSH

if TYPE_CHECKING:
    import pandas as pd

    from raynas.analysis.trajectories import Floats

_TIMES = (0.5, 1.0, 2.0, 5.0)  # RANK-NOSH's epochs


def comparison(
    frames: Frames, methods: Sequence[str], *, cost: float, budget: float, optimum: float, repeats: int
) -> pd.DataFrame:
    """What answers are worth after some epochs.

    Args:
        frames: Of the comparison.
        methods: RANK-NOSH among them.
        cost: Epochs of RANK-NOSH.
        budget: Of all.
        optimum: Greatest value there is.
        repeats: Of each.

    Returns:
        A row a (method, cost): ``mean``, ``std`` (ddof 0) and quantiles over the repeats that have an answer,
        ``n_repeats`` of them; ``regret``; ``p_rank_nosh_above``, NaN where a repeat has no answer.
    """
    import pandas as pd

    costs = np.unique([*(np.rint(times * cost) for times in _TIMES if times * cost < budget), budget])
    worth = {method: values(frames.answers, method, costs, repeats) for method in methods}
    return pd.DataFrame(
        [
            {
                "method": method,
                "cost": epochs,
                **_spread(of[:, place]),
                "optimum": optimum,
                "regret": optimum - np.nanmean(of[:, place]) if np.isfinite(of[:, place]).any() else np.nan,
                "p_rank_nosh_above": _p(method, worth[RANK_NOSH][:, place], of[:, place]),
            }
            for method, of in worth.items()
            for place, epochs in enumerate(costs)
        ]
    )


def ablations(
    frames: Frames, rows: Mapping[str, Sequence[str]], *, cost: float, repeats: int
) -> pd.DataFrame:
    """What the final answers of variants are worth, and what they were after RANK-NOSH's epochs.

    Args:
        frames: All.
        rows: Methods and variants by ablation, RANK-NOSH among them.
        cost: Epochs of RANK-NOSH.
        repeats: Of each.

    Returns:
        A row a (ablation, method): ``epochs`` that a search spent, a mean; ``mean``, ``std`` (ddof 0) and
        quantiles of the final answers; ``mean_at_cost`` and ``std_at_cost``; ``p_rank_nosh_above``, of the
        final answers.
    """
    import pandas as pd

    ends = np.array([cost, np.inf])
    main = values(frames.answers, RANK_NOSH, ends, repeats)
    made = []
    for ablation, methods in rows.items():
        for method in methods:
            searches = frames.searches[frames.searches["method"] == method]
            worth = values(frames.answers, method, ends, repeats)
            at_cost = _spread(worth[:, 0])
            made.append(
                {
                    "ablation": ablation,
                    "method": method,
                    EPOCHS: searches.loc[searches["repeat"] < repeats, EPOCHS].mean(),
                    **_spread(worth[:, 1]),
                    "mean_at_cost": at_cost["mean"],
                    "std_at_cost": at_cost["std"],
                    "p_rank_nosh_above": _p(method, main[:, 1], worth[:, 1]),
                }
            )
    return pd.DataFrame(made)


def _spread(sample: Floats) -> dict[str, float]:
    there = sample[np.isfinite(sample)]
    if not there.size:
        return {"mean": np.nan, "std": np.nan, "n_repeats": 0}
    return {"mean": there.mean(), "std": there.std(), "n_repeats": there.size, **quantiles(there)}


def _p(method: str, main: Floats, other: Floats) -> float:
    known = np.isfinite(main).all() and np.isfinite(other).all()
    return trajectories.p_above(main, other) if known and method != RANK_NOSH else float("nan")
