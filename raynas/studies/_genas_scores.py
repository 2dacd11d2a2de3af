"""Scores of architectures as arithmetic on what was measured: flatness of losses, sums of two scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis.rank_correlation import in_top, kendall_tau
from raynas.flatness.metric.flatness import Flatness, flatness_value
from raynas.studies import _genas_paper as paper
from raynas.studies._genas_probes import ACCURACY, ALL_LEVELS, ANGLE, LEVELS, LOSS, SIGMA, SIZE

if TYPE_CHECKING:
    from raynas.studies._genas_measuring import Readings
    from raynas.studies._truth import Floats

N_TOP = 10
FLATNESS = "flatness"
SIZES = "parameters"
LOW_LOSS = "loss, the lower the better"


@dataclass(frozen=True)
class Combination:
    """Two scores as one.

    Attributes:
        base: Its share counts once.
        other: Its share counts gamma times.
        gamma: The paper's best.
        published: By gamma the share of ``other`` in percent, and ImageNet top-1.
    """

    base: str
    other: str
    gamma: float
    published: Mapping[float, tuple[float, float]]

    @property
    def name(self) -> str:
        return f"{self.base} + {self.other}"


COMBINATIONS = (
    Combination(ANGLE, FLATNESS, 16.0, paper.ANGLE_FLATNESS),
    Combination(ACCURACY, FLATNESS, 32.0, paper.ACCURACY_FLATNESS),
    Combination(ANGLE, ACCURACY, 0.1, paper.ANGLE_ACCURACY),
)


def flatness(losses: Floats, sigma: Sequence[float], *, alpha: float = Flatness.alpha) -> Floats:
    """Flatness, ``(n,)``.

    Args:
        losses: ``(n, levels)`` in nats.
        sigma: Standard deviations of the noise.
        alpha: Weight of the first level's loss.
    """
    return np.array([flatness_value(row, sigma, alpha=alpha, eps=Flatness.eps) for row in losses.tolist()])


def at_levels(readings: Readings, sigma: Sequence[float], *, probe: str = ALL_LEVELS) -> Floats:
    """``(n, levels)`` losses at some of the levels of a probe that measured all."""
    return readings.losses(probe)[:, [LEVELS.index(level) for level in sigma]]


def shares(readings: Readings) -> dict[str, Floats]:
    """``(n,)`` scores in the form in which they are added up, about 0 to 1, by name; those measured."""
    found = {FLATNESS: flatness(at_levels(readings, SIGMA), SIGMA) / SIGMA[0]}
    if ACCURACY in readings.numbers:
        found[ACCURACY] = readings.of(ACCURACY) / 100
    if ANGLE in readings.numbers:
        found[ANGLE] = readings.of(ANGLE) / math.pi
    return found


def combined(base: Floats, other: Floats, gamma: float) -> tuple[Floats, float]:
    """The sum of a share and ``gamma`` times another.

    Returns:
        ``(n,)``; and how much of the sum the other makes up, in percent, the mean over architectures.
    """
    total = base + gamma * other
    share = np.divide(gamma * other, total, out=np.zeros_like(total), where=total != 0)
    return total, float(100 * np.nanmean(share))


def scores(readings: Readings) -> dict[str, Floats]:
    """``(n,)`` all scores, the higher the better, by name: the paper's, then those to compare with."""
    of = shares(readings)
    found = {name: of[name] for name in (ACCURACY, ANGLE, FLATNESS) if name in of}
    for one in COMBINATIONS:
        if one.base in of and one.other in of:
            found[f"{one.name}, gamma {one.gamma:g}"] = combined(of[one.base], of[one.other], one.gamma)[0]
    return {**found, LOW_LOSS: -readings.of(LOSS), SIZES: readings.of(SIZE)}


def ranked(score: Floats, truth: Floats) -> dict[str, float]:
    """How well a score ranks.

    Args:
        score: ``(n,)``, the higher the better; those that are NaN are dropped.
        truth: ``(n,)`` accuracies in percent; of more, the first n count.

    Returns:
        ``tau``, Kendall's tau-b; ``top_test_accuracy_pct``, the mean truth of the ten of the highest scores,
        which of equal ones being left to chance; ``n`` that count, and ``dropped``.
    """
    known = ~np.isnan(score)
    score, truth = score[known], truth[: known.size][known]
    enough = score.size > 1
    top = in_top(score, min(N_TOP, score.size)) if enough else np.zeros(0)
    return {
        "tau": kendall_tau(score, truth) if enough else math.nan,
        "top_test_accuracy_pct": float(top @ truth / top.sum()) if enough else math.nan,
        "n": score.size,
        "dropped": known.size - score.size,
    }
