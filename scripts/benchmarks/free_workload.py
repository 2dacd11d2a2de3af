"""A workload that costs nothing: one report at once. For measuring what runs cost beside their workloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raynas.search.asktell import Report
from raynas.spaces import get_space
from raynas.trial import Trial


def accuracy(index: int) -> float:
    """A made-up accuracy in percent."""
    return index * 7919 % 1000 / 10


@dataclass(frozen=True)
class Free:
    """Reports a made-up accuracy and is done."""

    def start(self, trial: Trial) -> FreeRun:
        return FreeRun(trial)


class FreeRun:
    done = False

    def __init__(self, trial: Trial) -> None:
        assert trial.architecture is not None
        self._index = get_space(trial.space).index(trial.architecture)

    def step(self) -> Report:
        self.done = True
        return Report({"accuracy_pct": accuracy(self._index)}, epoch=1)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass
