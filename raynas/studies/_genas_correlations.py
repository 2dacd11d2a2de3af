"""Rank correlations of the study of GeNAS as tidy frames, a row a supernet, and means over supernets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from raynas.analysis.rank_correlation import kendall_tau
from raynas.studies import _genas_paper as paper
from raynas.studies._genas_probes import (
    ACCURACY,
    CELLS,
    EMA,
    EMA_ACCURACY,
    FRESH,
    HESSIAN,
    OTHER_MODES,
    SHARED,
    SIGMA,
    SIGMAS,
    SIZE,
    of_mode,
    written,
)
from raynas.studies._genas_scores import (
    COMBINATIONS,
    LOW_LOSS,
    SIZES,
    at_levels,
    combined,
    flatness,
    ranked,
    scores,
    shares,
)

if TYPE_CHECKING:
    import pandas as pd

    from raynas.studies._genas_material import Material
    from raynas.studies._genas_measuring import Readings
    from raynas.studies._truth import Floats
    from raynas.studies.genas import Genas

VALID_SCORE = "validation accuracy after training (table)"
SIGMA_TABLE, ALPHA_TABLE, NOISE_TABLE = "sigma", "alpha", "noise"
ALL = "all"
NOISES = {
    ALL: "all weights, random direction",
    CELLS: "cells' weights, random direction",
    FRESH: "all weights, a draw for each architecture",
    EMA: "all weights; statistics by running mean",
    HESSIAN: "all weights, Hessian's direction",
}

_Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Correlations:
    """All rank correlations; ``supernet`` counts from 1, and is 0 where a score does not hang on it.

    Attributes:
        scores: A row a (score, supernet); ``minus_loss`` is tau minus that of the loss.
        pairs: A row a (one, other, supernet): two scores with each other.
        settings: A row a (table, row, mode, asked, supernet): flatness by how it is measured, of the first
            ``asked`` architectures.
        combinations: A row a (combination, gamma, supernet).
    """

    scores: pd.DataFrame
    pairs: pd.DataFrame
    settings: pd.DataFrame
    combinations: pd.DataFrame


def correlations(material: Material, readings: Sequence[Readings], options: Genas) -> Correlations:
    """All of them.

    Args:
        material: The truth.
        readings: Of each supernet.
        options: Of the study.
    """
    import pandas as pd

    rows: dict[str, list[_Row]] = {"scores": [], "pairs": [], "settings": [], "combinations": []}
    for number, one in enumerate(readings, 1):
        of_supernet = {
            "scores": _scores(one, material.truth),
            "pairs": _pairs(one),
            "settings": _settings(one, material.truth, options),
            "combinations": _combinations(one, material.truth),
        }
        for name, found in of_supernet.items():
            rows[name] += [{"supernet": number, **row} for row in found]
    alike = {SIZES: readings[0].of(SIZE), VALID_SCORE: material.valid}
    rows["scores"] += [
        {"supernet": 0, "score": name, **ranked(score, material.truth)}
        for name, score in alike.items()
        if score is not None
    ]
    return Correlations(**{name: pd.DataFrame(of) for name, of in rows.items()})


def summary(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Means over supernets, a row a key, in the order of their appearance.

    Args:
        frame: Of ``Correlations``.
        keys: Columns that name a row.

    Returns:
        The means of all numbers, and for each ``<name>_std`` (ddof 0, NaN of one supernet); the sums of
        counts.
    """
    counts = [name for name in ("n", "dropped") if name in frame]
    numbers = [name for name in frame.columns if name not in (*keys, *counts, "supernet")]
    groups = frame.groupby(list(keys), sort=False)
    spread = groups[numbers].std(ddof=0).where(groups[numbers].count() > 1).add_suffix("_std")
    return groups[numbers].mean().join(spread).join(groups[counts].sum()).reset_index()


def _scores(readings: Readings, truth: Floats) -> Iterator[_Row]:
    found = {name: ranked(score, truth) for name, score in scores(readings).items() if name != SIZES}
    for name, row in found.items():
        yield {"score": name, **row, "minus_loss": row["tau"] - found[LOW_LOSS]["tau"]}


def _pairs(readings: Readings) -> Iterator[_Row]:
    single = {name: score for name, score in scores(readings).items() if "gamma" not in name}
    for (one, x), (other, y) in combinations(single.items(), 2):
        known = ~np.isnan(x) & ~np.isnan(y)
        tau = kendall_tau(x[known], y[known]) if known.sum() > 1 else math.nan
        yield {"one": one, "other": other, "tau": tau, "n": int(known.sum())}


def _settings(readings: Readings, truth: Floats, options: Genas) -> Iterator[_Row]:
    asked = [min(n, truth.size) for n in (options.architectures, options.variants, options.hessian)]

    def row(table: str, name: str, losses: Floats, sigma: Sequence[float] = SIGMA, **more: Any) -> _Row:
        alpha = more.pop("alpha", 1.0)
        found = ranked(flatness(losses, sigma, alpha=alpha), truth)
        return {"table": table, "row": name, "mode": SHARED, "asked": len(losses), **found, **more}

    for sigma in SIGMAS:
        losses = at_levels(readings, sigma)
        of_modes: dict[str, list[Floats]] = {SHARED: [losses[:n] for n in dict.fromkeys(asked) if n > 1]}
        for mode in OTHER_MODES:
            if (name := of_mode(mode, sigma)) in readings.numbers:
                of_modes[mode] = [readings.losses(name)]
        if HESSIAN in readings.numbers:
            of_modes[HESSIAN] = [at_levels(readings, sigma, probe=HESSIAN)]
        for mode, found in of_modes.items():
            for of in found:
                yield row(SIGMA_TABLE, written(sigma), of, sigma, mode=mode)
    own = at_levels(readings, SIGMA)
    for alpha in paper.ALPHA_TAUS:
        yield row(ALPHA_TABLE, f"{alpha:g}", own, alpha=alpha)
    for kinds in ((CELLS, FRESH, EMA), (HESSIAN,)):
        for kind in (one for one in kinds if one in readings.numbers):
            losses = at_levels(readings, SIGMA, probe=kind) if kind == HESSIAN else readings.losses(kind)
            if kind == kinds[0]:
                yield row(NOISE_TABLE, NOISES[ALL], own[: len(losses)])
            yield row(NOISE_TABLE, NOISES[kind], losses)
    if EMA_ACCURACY in readings.numbers:
        ema = readings.of(EMA_ACCURACY)
        plain = readings.of(ACCURACY)[: ema.size]
        for label, of in ((ACCURACY, plain), (f"{ACCURACY}; statistics by running mean", ema)):
            yield {"table": NOISE_TABLE, "row": label, "mode": "", "asked": of.size, **ranked(of, truth)}


def _combinations(readings: Readings, truth: Floats) -> Iterator[_Row]:
    of = shares(readings)
    for one in COMBINATIONS:
        if one.base in of and one.other in of:
            for gamma in one.published:
                total, share_pct = combined(of[one.base], of[one.other], gamma)
                key = {"combination": one.name, "gamma": gamma, "share_pct": share_pct}
                yield {**key, **ranked(total, truth)}
