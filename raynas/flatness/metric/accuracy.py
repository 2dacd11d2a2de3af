"""Validation accuracy, as single-path one-shot search scores by (SPOS; Guo et al., ECCV 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from raynas.flatness.subject import Measured, Subject


@dataclass(frozen=True)
class Accuracy:
    """Share of the validation images that the trained network labels rightly."""

    @property
    def reports(self) -> tuple[str, ...]:
        return ("accuracy_pct",)

    def measure(self, subject: Subject, seed: int) -> Measured:
        """Accuracy in percent; its share is a hundredth of that."""
        accuracy = subject.accuracy_pct()
        return Measured(accuracy, accuracy / 100, {"accuracy_pct": accuracy})
