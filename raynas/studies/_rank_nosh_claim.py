"""How many epochs one search needs to come to the quality that another ends with, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from raynas.seeding import generator
from raynas.studies._baselines_experiments import EPOCHS, VALUE
from raynas.studies._rank_nosh_experiments import Frames, values
from raynas.studies._rank_nosh_methods import RANK_NOSH

if TYPE_CHECKING:
    import pandas as pd

    from raynas.analysis.trajectories import Floats
    from raynas.studies.rank_nosh import RankNosh

RESAMPLES = 1000
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_INTERVAL = (0.05, 0.95)


def reached(costs: Floats, worth: Floats, target: float) -> tuple[float, float]:
    """When a curve in steps comes to a target: first, and for good.

    Args:
        costs: ``(n,)`` at which it changes, ascending.
        worth: ``(n,)`` what it is from there on; NaN counts as below any target.
        target: Greater is better.

    Returns:
        The first cost at which it is at the target or above, and the one from which it stays there; infinite
        where it never is, or does not stay.
    """
    there = np.flatnonzero(worth >= target)
    if not there.size:
        return np.inf, np.inf
    below = np.flatnonzero(~(worth >= target))
    stays = below[-1] + 1 if below.size else 0
    return float(costs[there[0]]), float(costs[stays]) if stays < len(costs) else np.inf


def needed(frames: Frames, methods: list[str]) -> pd.DataFrame:
    """Epochs that every method needs for RANK-NOSH's final quality, and it for theirs, seed by seed.

    Args:
        frames: Of the comparison.
        methods: Of the comparison, RANK-NOSH among them.

    Returns:
        A row a (leader, chaser, repeat). The ``target`` is what the leader's final answer is worth, in
        percent, for which it ``spent`` so many epochs. After ``epochs`` the chaser's answer is worth as much
        and remains so, after ``first`` it was for the first time; infinite for never. The ratios are theirs
        over the leader's; the chaser spent ``until`` in all.
    """
    import pandas as pd

    answers = {key: part for key, part in frames.answers.groupby(["method", "repeat"])}
    ended = frames.searches.set_index(["method", "repeat"])
    rows = []
    for leader, chaser in _pairs(methods):
        for repeat in sorted(frames.searches.loc[frames.searches["method"] == leader, "repeat"]):
            target, spent = (float(of[leader, repeat]) for of in (ended[VALUE], ended["charged"]))
            part = answers[chaser, repeat]
            first, kept = reached(part[EPOCHS].to_numpy(float), part[VALUE].to_numpy(float), target)
            rows.append(
                {
                    "leader": leader,
                    "chaser": chaser,
                    "repeat": repeat,
                    "target": target,
                    "spent": spent,
                    "epochs": kept,
                    "ratio": kept / spent,
                    "first": first,
                    "first_ratio": first / spent,
                    "until": float(ended["charged"][chaser, repeat]),
                }
            )
    return pd.DataFrame(rows)


def summary(frame: pd.DataFrame, frames: Frames, options: RankNosh) -> pd.DataFrame:
    """The ratios over all repeats, and that of the mean curves.

    Args:
        frame: As ``needed`` gives it.
        frames: Of the comparison.
        options: Of the study.

    Returns:
        A row a (leader, chaser): ``spent`` and ``until``, means; ``n_repeats``; ``n_never``, repeats in which
        the chaser does not end at the target; quantiles ``q10`` to ``q90`` of the ratio, those repeats
        counted as infinitely much; ``first_q50``, the median of the first ratios; ``mean_ratio``, the epochs
        from which the chaser's mean over repeats is as good as the leader's final mean, over those that the
        leader spent; ``low`` and ``high``, its 5 % and 95 % quantiles over resamples of the repeats.
        Infinite: more than ``until`` over ``spent``.
    """
    import pandas as pd

    rng = generator(options.seed, "study", "rank_nosh", "resamples")
    drawn = rng.integers(options.repeats, size=(RESAMPLES, options.repeats))
    rows = []
    for (leader, chaser), part in frame.groupby(["leader", "chaser"], sort=False):
        costs = np.unique(frames.answers.loc[frames.answers["method"] == chaser, EPOCHS]).astype(float)
        curves = values(frames.answers, str(chaser), costs, options.repeats)
        targets, spent = part["target"].to_numpy(float), part["spent"].to_numpy(float)
        resampled = [_of_means(curves[some], costs, targets[some], spent[some]) for some in drawn]
        rows.append(
            {
                "leader": leader,
                "chaser": chaser,
                "spent": spent.mean(),
                "until": part["until"].mean(),
                "n_repeats": len(part),
                "n_never": int(np.isinf(part["ratio"]).sum()),
                **quantiles(part["ratio"].to_numpy(float)),
                "first_q50": quantiles(part["first_ratio"].to_numpy(float))["q50"],
                "mean_ratio": _of_means(curves, costs, targets, spent),
                **dict(zip(("low", "high"), _ordered(np.array(resampled), _INTERVAL), strict=True)),
            }
        )
    return pd.DataFrame(rows)


def quantiles(sample: Floats) -> dict[str, float]:
    """``q10`` to ``q90``, each a value of the sample, so that infinite ones do no harm."""
    return {
        f"q{round(100 * share)}": value
        for share, value in zip(QUANTILES, _ordered(sample, QUANTILES), strict=True)
    }


def _pairs(methods: list[str]) -> list[tuple[str, str]]:
    """Leader and chaser: everybody after RANK-NOSH, itself included, then RANK-NOSH after everybody."""
    others = [name for name in methods if name != RANK_NOSH]
    return [(RANK_NOSH, name) for name in (RANK_NOSH, *others)] + [(name, RANK_NOSH) for name in others]


def _of_means(curves: Floats, costs: Floats, targets: Floats, spent: Floats) -> float:
    # Rounded, since means of the same values in another order differ in the last bits.
    _, kept = reached(costs, np.round(curves.mean(axis=0), 9), float(np.round(targets.mean(), 9)))
    return float(kept / spent.mean())


def _ordered(sample: Floats, shares: tuple[float, ...]) -> Floats:
    found: Floats = np.quantile(sample, shares, method="inverted_cdf")
    return found
