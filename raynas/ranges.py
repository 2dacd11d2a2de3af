"""Checks of hyperparameters that many components share."""

from __future__ import annotations

import math
from collections.abc import Sequence


def require_positive(**counts: float) -> None:
    """Refuses hyperparameters below 1.

    Raises:
        ValueError: Names the first that is.
    """
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name}: {value} is below 1; give 1 or more")


def require_positive_or_none(name: str, value: int | None, *, none: str) -> None:
    """Refuses a number below 1 where it may be left out.

    Args:
        name: Of the hyperparameter.
        value: What it is; None where it was left out.
        none: What leaving it out means.

    Raises:
        ValueError: It is below 1.
    """
    if value is not None and value < 1:
        raise ValueError(f"{name}: {value} is below 1; leave it out for {none}")


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuses a word that is none of the choices.

    Raises:
        ValueError: It is none.
    """
    if value not in choices:
        raise ValueError(f"{name}: '{value}'; due is one of {', '.join(choices)}")


def require_sgd(*, momentum: float, nesterov: bool, weight_decay: float, clip: float | None = None) -> None:
    """Refuses what SGD cannot work with, beside its learning rate.

    Args:
        momentum: In [0, 1).
        nesterov: Whether it is Nesterov's; needs some.
        weight_decay: 0 or more.
        clip: Greatest norm of the gradients; None: any.

    Raises:
        ValueError: Names the first that is out of range.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum: {momentum} is outside [0, 1); give 0.9, or 0 for none")
    if nesterov and not momentum:
        raise ValueError("nesterov: needs a momentum above 0; set nesterov: false")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay: {weight_decay} is negative or not finite; give 0 for none")
    if clip is not None and not 0 < clip < math.inf:
        raise ValueError(f"clip: {clip} is not positive and finite; leave it out for none")
