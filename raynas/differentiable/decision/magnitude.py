"""The operations and edges of greatest weight, after the last epoch (DARTS; Liu et al., ICLR 2019).

Nothing is given up before: ``raynas.differentiable.derivation``, which ends every search, does all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from raynas.differentiable.slots import Moment, Narrowing
from raynas.supernets.layout import Layout


@dataclass(frozen=True)
class Magnitude:
    """No decision during the search."""

    neutral: ClassVar[Mapping[str, Any]] = {}

    def tuning_epochs(self, layout: Layout) -> int:
        """See ``raynas.differentiable.slots.Decision``."""
        return 0

    def narrowed(self, moment: Moment) -> Narrowing | None:
        """See ``raynas.differentiable.slots.Decision``."""
        return None
