"""An end before the validation loss becomes sharp in the architecture (DARTS-ES; Zela et al., ICLR 2020).

The greatest eigenvalue of the validation loss's Hessian by the logits is averaged over a window; where the
average has grown by a factor, the search ends with the architecture from before it grew.

As in the released code: a factor of 1.3 over four measurements, where the paper has 1 / 0.75 over five
epochs; an average is that of the middle of its window, and the architecture is the one of the middle of the
earlier window. With the defaults a search that ends after epoch e, counted from 0, answers with the
architecture after epoch e - 12.
Not built: DARTS-ADA, which goes on from there with a greater weight decay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from raynas.differentiable.slots import Record, Stop
from raynas.ranges import require_positive


@dataclass(frozen=True)
class HessianEigenvalue:
    """Ends a search whose greatest eigenvalue grows.

    Attributes:
        factor: Growth of the average that ends it.
        window: Measurements that an average spans.
        delta: Measurements from the earlier average to the later.
        start: First epoch, counted from 0, that may be the answer's.
        every: Epochs from one measurement to the next; the first is after epoch 0.
    """

    neutral: ClassVar[Mapping[str, Any]] = {}

    needs_second_derivatives: ClassVar[bool] = True

    factor: float = 1.3
    window: int = 5
    delta: int = 4
    start: int = 10
    every: int = 2

    def __post_init__(self) -> None:
        require_positive(window=self.window, delta=self.delta, every=self.every)
        if not 0 < self.factor < math.inf:
            raise ValueError(f"factor: {self.factor} is not positive and finite; give 1.3 or so")
        if self.start < 0:
            raise ValueError(f"start: {self.start} is negative; give 0 or more")

    def stop(self, history: Sequence[Record]) -> Stop | None:
        """See ``raynas.differentiable.slots.Stopping``.

        Raises:
            ValueError: A record lacks its eigenvalue.
        """
        epoch = len(history) - 1
        answer = epoch - self.every * (self.window // 2 + self.delta)
        if epoch % self.every or answer < self.start:
            return None
        measured = [record.hessian_eigenvalue for record in history[:: self.every]]
        values = [value for value in measured if value is not None]
        if len(values) < len(measured):
            raise ValueError(f"due is an eigenvalue after epoch 0 and every {self.every}; some are missing")
        # as a product, so that an earlier average of 0 counts as left behind by any growth
        grown = self._average(values) > self.factor * self._average(values[: -self.delta])
        return Stop(answer + 1) if grown else None

    def final(self, history: Sequence[Record]) -> Stop | None:
        """See ``raynas.differentiable.slots.Stopping``; a search that is not ended answers with its last."""
        return None

    def _average(self, values: Sequence[float]) -> float:
        """Over the last window; at the beginning over as much of one as there is."""
        last = values[-self.window :]
        return sum(last) / len(last)
