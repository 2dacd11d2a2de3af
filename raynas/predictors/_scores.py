"""What a proxy's result becomes: a number that always has a rank."""

from __future__ import annotations

import math

from torch import Tensor

UNSCORABLE = -1e8
"""Score of a network that has none, below all others, as in NASLib."""


def as_score(value: Tensor | float) -> float:
    """The number; ``UNSCORABLE`` for one that is infinite or not a number."""
    number = float(value.detach() if isinstance(value, Tensor) else value)
    return number if math.isfinite(number) else UNSCORABLE
