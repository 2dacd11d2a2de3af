"""Two metrics as one score: S + gamma * share (GeNAS; Jeong et al., IJCAI 2023, Eq. 5).

The paper adds flatness to the accuracy or the angle, and compares with the angle plus the accuracy; here both
places take any metric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any

from raynas.flatness.metric.angle import Angle
from raynas.flatness.metric.flatness import Flatness
from raynas.flatness.subject import Measured, Subject
from raynas.lookup import Slot

_METRIC = Slot("raynas.flatness.metric")


@dataclass(frozen=True)
class Combined:
    """The share of one metric plus ``gamma`` times the share of another.

    The paper's best ``gamma`` for flatness is 16 beside the angle and 32 beside the accuracy (CIFAR-100).

    Attributes:
        base: Counts once.
        other: Counts ``gamma`` times.
        gamma: At 0, its neutral value, architectures rank as by ``base``; ``other`` is measured all the same.
    """

    base: Annotated[Any, _METRIC] = field(default_factory=Angle)
    other: Annotated[Any, _METRIC] = field(default_factory=Flatness)
    gamma: float = 16.0

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < math.inf:
            raise ValueError(f"gamma: {self.gamma} is not a weight; give a finite number of 0 or more")
        if twice := set(_reports(self.base)) & set(_reports(self.other)):
            raise ValueError(f"other: reports {', '.join(sorted(twice))} as base does; name another metric")

    @property
    def reports(self) -> tuple[str, ...]:
        parts = (*_reports(self.base), *_reports(self.other))
        own = ("combined", "other_share_pct")
        return (*own, *(name for name in parts if name not in own))

    def measure(self, subject: Subject, seed: int) -> Measured:
        """The sum, which is its own share, too; with all that both metrics report.

        ``other_share_pct`` is how much of the sum ``other`` makes up, in percent.

        Raises:
            InputError: The subject lacks what one of the metrics needs.
        """
        base, other = self.base.measure(subject, seed), self.other.measure(subject, seed)
        added = self.gamma * other.share
        score = base.share + added
        own = {"combined": score, "other_share_pct": 100 * added / score if score else 0.0}
        return Measured(score, score, {**base.metrics, **other.metrics, **own})


def _reports(metric: Any) -> tuple[str, ...]:
    return tuple(getattr(metric, "reports", ()))
