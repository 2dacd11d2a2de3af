"""The angle that training turns the weights by (RLNAS; Zhang et al., CVPR 2021, Sec. 3.3).

Departures: the cosine is computed in float64 and kept within [-1, 1], beyond which rounding may lead and the
arc cosine is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from raynas.errors import InputError
from raynas.flatness.subject import Measured, Subject
from raynas.flatness.vector import Products, Vector


@dataclass(frozen=True)
class Angle:
    """Angle between an architecture's weights before and after training; the larger, the more it learned."""

    @property
    def reports(self) -> tuple[str, ...]:
        return ("angle",)

    def measure(self, subject: Subject, seed: int) -> Measured:
        """Angle in radians, 0 to pi; its share is the angle over pi.

        Raises:
            InputError: The subject has no initial weights.
        """
        if subject.initial is None:
            raise InputError(
                "metric angle: the weights from before training were not kept, and the angle is between them "
                "and the trained ones; keep them, or use metric: flatness"
            )
        value = angle(subject.vector(), subject.products())
        return Measured(value, value / math.pi, {"angle": value})


def angle(vector: Vector, products: Mapping[str, Products]) -> float:
    """Angle between a vector of initial weights and the same of trained ones, in radians.

    Args:
        vector: What the vectors are made of.
        products: Of the weights that it names.

    Returns:
        0 where a vector has no length, such as that of an architecture without a living path.
    """
    constant = sum(times * each.count * each.value**2 for each, times in vector.constants.items())
    found = [(times, products[name]) for name, times in vector.times.items()]
    before = constant + math.fsum(times * each.before for times, each in found)
    after = constant + math.fsum(times * each.after for times, each in found)
    across = constant + math.fsum(times * each.across for times, each in found)
    if before == 0 or after == 0:
        return 0.0
    cosine = across / math.sqrt(before * after)  # of equal vectors exactly 1
    return math.acos(max(min(cosine, 1.0), -1.0))  # in this order what is not a number stays that
