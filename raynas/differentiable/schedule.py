"""Coefficients that change while a search goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        epoch: The epoch under way, from 0.
        epochs: Epochs of the search.
    """

    epoch: int
    epochs: int

    @property
    def fraction(self) -> float:
        """``epoch / epochs``: 0 in the first epoch, short of 1 in the last, 1 in what comes after."""
        return min(1.0, self.epoch / self.epochs)


@dataclass(frozen=True)
class Linear:
    """A straight line over ``epoch / epochs``; the last epoch falls short of its end.

    Attributes:
        linear: First and last value.
    """

    linear: tuple[float, float]

    def at(self, progress: Progress) -> float:
        """The value in an epoch."""
        return self.at_fraction(progress.fraction)

    def at_fraction(self, fraction: float) -> float:
        """The value where a share in [0, 1] of the epochs is over."""
        first, last = self.linear
        return first + (last - first) * fraction


@dataclass(frozen=True)
class Ramp:
    """A straight line over ``epoch / (epochs - 1)``; the last epoch has its end.

    Attributes:
        ramp: First and last value.
    """

    ramp: tuple[float, float]

    def at(self, progress: Progress) -> float:
        """The value in an epoch."""
        first, last = self.ramp
        return first + (last - first) * min(1.0, progress.epoch / max(1, progress.epochs - 1))


@dataclass(frozen=True)
class Cosine:
    """Half a wave of the cosine over ``epoch / epochs``.

    Attributes:
        cosine: First and last value.
    """

    cosine: tuple[float, float]

    def at(self, progress: Progress) -> float:
        """The value in an epoch."""
        return self.at_fraction(progress.fraction)

    def at_fraction(self, fraction: float) -> float:
        """The value where a share in [0, 1] of the epochs is over."""
        first, last = self.cosine
        return last + (first - last) * (1 + math.cos(math.pi * fraction)) / 2


Coefficient: TypeAlias = float | Linear | Ramp | Cosine
"""A number, or how it changes: ``{linear: [0, 50]}``, ``{ramp: [0, 1]}``, ``{cosine: [1, 0]}``."""


def value(coefficient: Coefficient, progress: Progress) -> float:
    """A coefficient in an epoch."""
    if isinstance(coefficient, Linear | Ramp | Cosine):
        return coefficient.at(progress)
    return float(coefficient)


def extremes(coefficient: Coefficient) -> tuple[float, float]:
    """The least and the greatest value that a coefficient takes, for checks of ranges."""
    match coefficient:
        case Linear(ends) | Ramp(ends) | Cosine(ends):
            return min(ends), max(ends)
        case _:
            return float(coefficient), float(coefficient)


def require_not_negative(**coefficients: Coefficient) -> None:
    """Refuses coefficients that are negative or not finite at any time.

    Raises:
        ValueError: Names the first that is.
    """
    for name, coefficient in coefficients.items():
        least, greatest = extremes(coefficient)
        if not 0 <= least <= greatest < math.inf:
            raise ValueError(
                f"{name}: {least if least < 0 else greatest} is negative or not finite; give 0 or more"
            )
