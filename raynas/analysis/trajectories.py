"""What a search would return at each moment, and how good that is: its incumbent against what it has spent.

A *reading* is one value that a search has learned of a trial, at an epoch of its training. A search without
early stopping reads every trial once, at its end. One with it reads at every rung, and readings of different
epochs do not compare, so the *incumbent* is the best reading at the highest epoch that any trial has been
read at so far. A trial that waits or ended on a lower rung is therefore never the incumbent once another was
read on a higher one, be that other worse. (Li et al., MLSys 2020, judge by the rungs reached, too.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int64]

CURVE = ["method", "axis", "cost"]
"""The columns that name a point of a curve; ``repeat`` tells its repeats apart."""


def incumbents(
    values: npt.ArrayLike, *, epochs: npt.ArrayLike, proposals: npt.ArrayLike, mode: Literal["min", "max"]
) -> Places:
    """The incumbent after each reading.

    Args:
        values: ``(n,)`` readings in the order in which they came; NaN for a trial that failed, which is no
            reading, whatever its epoch.
        epochs: ``(n,)`` epochs trained at each.
        proposals: ``(n,)`` whose they are; of equal readings the earliest proposal's is the better.
        mode: Whether more or less is better.

    Returns:
        ``(n,)`` place of the incumbent among the readings so far; -1 while there is none.
    """
    costs = np.asarray(values, dtype=float) * (-1 if mode == "max" else 1)
    found = np.full(costs.shape, -1)
    best: tuple[int, float, int] | None = None
    place = -1
    ranks = zip(np.asarray(epochs).tolist(), costs.tolist(), np.asarray(proposals).tolist(), strict=True)
    for number, (epoch, cost, proposal) in enumerate(ranks):
        rank = (-epoch, cost, proposal)
        if not np.isnan(cost) and (best is None or rank < best):
            best, place = rank, number
        found[number] = place
    return found


def steps(grid: Floats, costs: Floats, values: npt.NDArray[Any]) -> Floats:
    """A curve that changes at some costs, read at others.

    Args:
        grid: ``(m,)`` costs to read at.
        costs: ``(n,)`` costs at which the value becomes known, ascending; of equal ones the last counts.
        values: ``(n,)``.

    Returns:
        ``(m,)`` last value known at each cost, that very cost included; NaN before the first.
    """
    if (np.diff(costs) < 0).any():
        raise InputError("costs: they must ascend, as a search spends them")
    places = np.searchsorted(costs, grid, side="right") - 1
    known = np.concatenate([np.asarray(values, dtype=float), [np.nan]])  # place -1: none yet
    return known[places]


def cost_grid(first: float, last: float, n_points: int, marks: Sequence[float] = ()) -> Floats:
    """Costs at equal ratios, both ends included, and some marks between them."""
    grid = np.geomspace(first, last, n_points)
    inside = [mark for mark in marks if first <= mark <= last]
    return np.unique(np.concatenate([grid, inside]))


def mean_curves(curves: pd.DataFrame, value: str) -> pd.DataFrame:
    """The mean over repeats, at those costs at which every repeat of a method has a value.

    Args:
        curves: A row a (method, axis, cost, repeat), with a column of values, NaN before there is one.
        value: That column.

    Returns:
        A row a (method, axis, cost), methods in their order: ``mean``, ``standard_error`` (its square is the
        unbiased variance over n; NaN for one repeat) and ``n_repeats``.
    """
    n_repeats = curves.groupby("method")["repeat"].transform("nunique")
    grouped = curves.assign(n_all=n_repeats).dropna(subset=[value]).groupby(CURVE, sort=False)
    made = grouped.agg(
        mean=(value, "mean"), std=(value, "std"), n_repeats=(value, "size"), n_all=("n_all", "first")
    )
    made = made[made["n_repeats"] == made["n_all"]].reset_index()
    made["standard_error"] = made["std"] / np.sqrt(made["n_repeats"])
    return made.drop(columns=["std", "n_all"])


def summary(
    curves: pd.DataFrame, value: str, *, axis: str, budgets: dict[float, float], optimum: float
) -> pd.DataFrame:
    """Mean and spread at some costs.

    Args:
        curves: As for ``mean_curves``; more is better.
        value: Column of the values.
        axis: On which the budgets lie.
        budgets: Costs by the fraction of the full budget that they are; points of the curves.
        optimum: Greatest value there is.

    Returns:
        A row a (method, fraction), methods in their order: ``cost``, ``mean``, ``std`` (ddof 0),
        ``n_repeats`` (with a value at that cost), ``optimum`` and ``regret`` (optimum less mean).
    """
    import pandas as pd

    rows = []
    of_axis = curves[curves["axis"] == axis]
    for method, part in of_axis.groupby("method", sort=False):
        for fraction, cost in budgets.items():
            values = part.loc[part["cost"] == cost, value].dropna()
            rows.append(
                {
                    "method": method,
                    "fraction": fraction,
                    "cost": cost,
                    "mean": values.mean(),
                    "std": values.std(ddof=0),
                    "n_repeats": len(values),
                    "optimum": optimum,
                    "regret": optimum - values.mean(),
                }
            )
    return pd.DataFrame(rows)


def p_above(values: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """One-sided Wilcoxon signed-rank test that paired values lie above others.

    Args:
        values: ``(n,)``.
        others: ``(n,)``, of the same repeats.

    Returns:
        The p-value; pairs of equal values are ranked and then left out (Pratt 1959); 1 if all are equal.
    """
    from scipy.stats import wilcoxon

    # Means of the same runs in another order differ in the last bits, and would break ties.
    differences = np.round(np.asarray(values, dtype=float) - np.asarray(others, dtype=float), 9)
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences, alternative="greater", zero_method="pratt").pvalue)
