"""Kendall's tau-b: of two rankings, of many samples of them at once, and between seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raynas.analysis.neighborhoods import Floats

if TYPE_CHECKING:
    import pandas as pd

_PAIRS_AT_ONCE = 500_000  # a few MB, which caches hold


def kendall_tau(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Kendall's tau-b of two rankings, ties counted.

    Args:
        x: ``(n,)`` values.
        y: ``(n,)`` values.

    Returns:
        From -1 to 1; NaN where one of them is constant.
    """
    from scipy.stats import kendalltau

    return float(kendalltau(x, y).statistic)


def in_top(values: Floats, n: int) -> Floats:
    """``(size,)`` the probability that each value is one of the n greatest, where equal ones are drawn."""
    last = np.partition(values, -n)[-n]
    above, equal = values > last, values == last
    probabilities: Floats = above + equal * (n - above.sum()) / equal.sum()
    return probabilities


def sampled_tau(xs: Floats, ys: Floats, samples: npt.NDArray[np.integer[Any]]) -> Floats:
    """Kendall's tau-b of several criteria with several truths, within each of many small samples.

    All pairs are compared, which beats sorting for samples of some hundreds.

    Args:
        xs: ``(n_criteria, size)``.
        ys: ``(n_truths, size)``.
        samples: ``(n_samples, n)`` indices.

    Returns:
        ``(n_samples, n_criteria, n_truths)``; NaN where a sample's values are all equal.
    """
    n = samples.shape[1]
    at_once = max(1, _PAIRS_AT_ONCE // (n * n * (len(xs) + len(ys))))
    ranks = np.stack([_dense_ranks(values) for values in (*xs, *ys)])
    tau = np.empty((len(samples), len(xs), len(ys)))
    for start in range(0, len(samples), at_once):
        some = ranks[:, samples[start : start + at_once]].swapaxes(0, 1)
        # All n * n pairs, each twice: a plain difference is faster than picking the half of them.
        signs = np.sign(some[..., :, np.newaxis] - some[..., np.newaxis, :]).reshape(*some.shape[:2], n * n)
        x, y = signs[:, : len(xs)], signs[:, len(xs) :]
        agreeing = (x @ y.swapaxes(1, 2)).astype(float)  # concordant less discordant; exact below 2**24 pairs
        untied = np.square(signs).sum(axis=2, dtype=float)
        with np.errstate(invalid="ignore"):
            tau[start : start + at_once] = agreeing / np.sqrt(
                untied[:, : len(xs), np.newaxis] * untied[:, np.newaxis, len(xs) :]
            )
    return tau


def _dense_ranks(values: Floats) -> npt.NDArray[np.float32]:
    """Ranks, equal for equal values; whole numbers that float32 holds exactly."""
    return np.unique(values, return_inverse=True)[1].astype(np.float32)


def samples(rng: np.random.Generator, size: int, *, n: int, repeats: int) -> npt.NDArray[np.int64]:
    """``(repeats, n)`` indices below size, without replacement in a row."""
    return np.stack([rng.choice(size, n, replace=False) for _ in range(repeats)])


def between_seeds(curves: Floats, epochs: Sequence[int], *, chosen: Sequence[int]) -> pd.DataFrame:
    """How well seeds agree: the ceiling of what one reading can say.

    Args:
        curves: ``(size, n_seeds, n_epochs)`` in percent; NaN where there is no run.
        epochs: Of the last axis.
        chosen: Epochs to report.

    Returns:
        One row an epoch: ``tau``, the mean over pairs of seeds of Kendall's tau over the architectures that
        both have; ``noise``, the standard deviation between an architecture's seeds (ddof 1, root of the
        mean variance); ``n_seeds``. No rows where there is one seed.
    """
    import pandas as pd

    n_seeds = curves.shape[1]
    pairs = [(i, j) for i in range(n_seeds) for j in range(i)]
    rows = []
    for epoch in chosen if pairs else ():
        values = curves[:, :, list(epochs).index(epoch)]
        taus = []
        for i, j in pairs:
            both = ~np.isnan(values[:, [i, j]]).any(axis=1)
            if both.sum() > 1:
                taus.append(kendall_tau(values[both, i], values[both, j]))
        repeated = values[(~np.isnan(values)).sum(axis=1) > 1]
        noise = np.sqrt(np.nanvar(repeated, axis=1, ddof=1).mean()) if len(repeated) else np.nan
        tau = np.mean(taus) if taus else np.nan
        rows.append({"epoch": epoch, "tau": tau, "noise": noise, "n_seeds": n_seeds})
    return pd.DataFrame(rows, columns=["epoch", "tau", "noise", "n_seeds"])
