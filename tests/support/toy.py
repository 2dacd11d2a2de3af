"""Workloads, searchers and schedulers that a user could have written, reached as ``toy:Class``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from raynas.search.asktell import Decision, Objective, Report
from raynas.spaces import get_space
from raynas.trial import Diverged, Trial


def value(trial: Trial, epoch: int) -> float:
    """A made-up accuracy, between 0 and 100, that rises with the epoch."""
    return get_space(trial.space).index(trial.architecture) * 7919 % 1000 / 10.1 + epoch / 10


@dataclass(frozen=True)
class Instant:
    """Reports made-up accuracies and trains nothing.

    Attributes:
        epochs: Epochs.
        epoch_s: Seconds that each takes.
        diverge: Share of architectures that diverge in their last epoch.
        fail: Share of architectures whose program fails.
        read: File, relative to the working directory, whose number is reported as a metric.
        unsavable: Whether taking its state raises.
        kill_once: File that the first worker to reach epoch 2 makes before it kills itself.
    """

    epochs: int = 3
    epoch_s: float = 0.0
    diverge: float = 0.0
    fail: float = 0.0
    read: str = ""
    unsavable: bool = False
    kill_once: str = ""

    def start(self, trial: Trial) -> InstantRun:
        return InstantRun(self, trial)


class InstantRun:
    def __init__(self, spec: Instant, trial: Trial) -> None:
        self._spec = spec
        self._trial = trial
        self._epoch = 0

    @property
    def done(self) -> bool:
        return self._epoch == self._spec.epochs

    def step(self) -> Report:
        spec = self._spec
        time.sleep(spec.epoch_s)
        self._epoch += 1
        if spec.kill_once and self._epoch == 2 and not Path(spec.kill_once).exists():
            Path(spec.kill_once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        luck = get_space(self._trial.space).index(self._trial.architecture) % 100 / 100
        if luck < spec.diverge and self.done:
            raise Diverged("train_loss is nan", self._epoch)
        if luck >= 1 - spec.fail:
            raise RuntimeError("no such layer\nsecond line")
        metrics = {"valid_accuracy_pct": value(self._trial, self._epoch), "pid": float(os.getpid())}
        if spec.read:
            metrics["read"] = float(Path(spec.read).read_text())
        return Report(metrics, self._epoch, spec.epoch_s)

    def state_dict(self) -> dict[str, Any]:
        if self._spec.unsavable:
            raise ValueError("cannot be saved")
        return {"epoch": self._epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._epoch = state["epoch"]


@dataclass(frozen=True)
class Growing:
    """Adds a rate to a level, epoch by epoch, so that a level tells by which rates it was reached.

    Attributes:
        rate: What an epoch adds.
        epochs: Epochs.
        epoch_s: Seconds that each takes.
    """

    needs_architecture: ClassVar[bool] = False
    changeable: ClassVar[tuple[str, ...]] = ("workload.rate",)

    rate: float = 1.0
    epochs: int = 8
    epoch_s: float = 0.0

    def start(self, trial: Trial) -> GrowingRun:
        return GrowingRun(self)


class GrowingRun:
    def __init__(self, spec: Growing) -> None:
        self._spec = spec
        self._epoch, self._level = 0, 0.0

    @property
    def done(self) -> bool:
        return self._epoch == self._spec.epochs

    def step(self) -> Report:
        time.sleep(self._spec.epoch_s)
        self._epoch += 1
        self._level += self._spec.rate
        return Report({"level": self._level}, self._epoch, self._spec.epoch_s)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "level": self._level}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._epoch, self._level = state["epoch"], state["level"]


@dataclass(frozen=True)
class Halving:
    """Pauses every trial after its first epoch; when all have been there, the better half goes on.

    Attributes:
        n: Trials that it waits for.
    """

    n: int = 8

    def start(self, objective: Objective) -> HalvingRun:
        return HalvingRun(self.n, objective)


class HalvingRun:
    def __init__(self, n: int, objective: Objective) -> None:
        self._n = n
        self._objective = objective
        self._first: dict[int, float] = {}

    def report(self, trial_id: int, report: Report) -> Decision:
        if report.epoch > 1:
            return "continue"
        self._first[trial_id] = self._objective.cost(report.metrics[self._objective.metric])
        return "pause"

    def next_to_run(self, pending: Iterable[int], paused: Iterable[int]) -> int | None:
        if len(self._first) < self._n:
            return None
        best = sorted(self._first, key=lambda key: (self._first[key], key))[: self._n // 2]
        return next((key for key in best if key in set(paused)), None)


@dataclass(frozen=True)
class Stopping:
    """Stops every second trial after its first epoch."""

    def start(self, objective: Objective) -> StoppingRun:
        return StoppingRun()


class StoppingRun:
    def report(self, trial_id: int, report: Report) -> Decision:
        return "stop" if trial_id % 2 else "continue"

    def next_to_run(self, pending: Iterable[int], paused: Iterable[int]) -> int | None:
        return None
