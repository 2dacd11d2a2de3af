"""Checks of hyperparameters that many components share."""

from __future__ import annotations


def require_positive(**counts: float) -> None:
    """Refuses hyperparameters below 1.

    Raises:
        ValueError: Names the first that is.
    """
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name}: {value} is below 1; give 1 or more")
