"""How well proxies rank architectures: correlations, the share of the best that they find, and how sure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raynas.analysis.rank_correlation import in_top, kendall_tau

if TYPE_CHECKING:
    import pandas as pd

TAU, RHO, OVERLAP = "kendall_tau", "spearman", "top_overlap_pct"
TOP = 0.1

Floats = npt.NDArray[np.float64]


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation, equal values sharing their mean rank; NaN where one is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(values) - (np.size(values) + 1) / 2 for values in (x, y))
    norms = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norms) if norms else float("nan")


def top_overlap_pct(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """How many of the greatest tenth by ``x`` are of the greatest tenth by ``y``, in percent of them.

    Which of equal values are in a list is left to chance, and the expectation over it returned.
    """
    n_top = max(1, round(TOP * np.size(x)))
    in_both = in_top(np.asarray(x, float), n_top) * in_top(np.asarray(y, float), n_top)
    return float(100 * in_both.sum() / n_top)


STATISTICS: dict[str, Callable[[npt.ArrayLike, npt.ArrayLike], float]] = {
    TAU: kendall_tau,
    RHO: spearman,
    OVERLAP: top_overlap_pct,
}


def correlations(
    scores: Mapping[str, Floats],
    truths: Mapping[str, Floats],
    *,
    baselines: Sequence[str],
    resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Every statistic of every proxy with every truth.

    Args:
        scores: ``(repeats, n)`` by the proxy's name.
        truths: ``(n,)`` by name.
        baselines: Proxies that the others are to beat.
        resamples: Of the architectures, the same for all proxies; each takes the next repeat's scores.
        rng: Draws them.

    Returns:
        One row a (proxy, truth, statistic): ``mean`` over the repeats; ``std_repeats``, their standard
        deviation; ``std``, that over the resamples, which has the chance of the architectures and that of
        weights and batch in it; ``above_baselines``, the share of resamples in which it is above every
        baseline, NaN for these themselves. Standard deviations have ddof 0.
    """
    import pandas as pd

    n = len(next(iter(truths.values())))
    drawn = rng.integers(n, size=(resamples, n))
    rows = []
    for truth, values in truths.items():
        for statistic, of in STATISTICS.items():
            resampled = {
                name: np.array(
                    [
                        of(each[number % len(each)][sample], values[sample])
                        for number, sample in enumerate(drawn)
                    ]
                )
                for name, each in scores.items()
            }
            bar = np.max([resampled[name] for name in baselines], axis=0)
            for name, each in scores.items():
                repeated = [of(repeat, values) for repeat in each]
                above = np.nan if name in baselines else float((resampled[name] > bar).mean())
                rows.append(
                    {
                        "proxy": name,
                        "truth": truth,
                        "statistic": statistic,
                        "mean": float(np.mean(repeated)),
                        "std": float(np.std(resampled[name])),
                        "std_repeats": float(np.std(repeated)),
                        "above_baselines": above,
                    }
                )
    return pd.DataFrame(rows)
