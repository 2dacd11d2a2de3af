"""The architecture at the start of the epoch of lowest validation loss (A2M; Gambella et al. 2025).

A2M notes its genotype before an epoch's training and the supernet's validation loss after it, and answers
with the genotype of the best of these pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from raynas.differentiable.slots import Record, Stop


@dataclass(frozen=True)
class BestValidationLoss:
    """Ends a search whose validation loss no longer falls.

    Attributes:
        patience: Epochs without a new lowest loss that are borne; with one more the search ends.
    """

    neutral: ClassVar[Mapping[str, Any]] = {}

    patience: int = 10

    def __post_init__(self) -> None:
        if self.patience < 0:
            raise ValueError(f"patience: {self.patience} is negative; give 10 or so")

    def stop(self, history: Sequence[Record]) -> Stop | None:
        """See ``raynas.differentiable.slots.Stopping``."""
        best = self.final(history)
        waited = len(history) - 1 - (-1 if best is None else best.epoch)
        return best if waited > self.patience else None

    def final(self, history: Sequence[Record]) -> Stop | None:
        """See ``raynas.differentiable.slots.Stopping``; None where no loss is a number."""
        numbers = [epoch for epoch, record in enumerate(history) if record.valid_loss == record.valid_loss]
        if not numbers:
            return None
        return Stop(min(numbers, key=lambda epoch: history[epoch].valid_loss))
