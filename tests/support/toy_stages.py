"""A run of two stages that a user could have written: ``toy_stages:Using`` needs what ``Making`` makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from raynas.search.asktell import Report
from raynas.spaces import get_space
from raynas.storage import folder
from raynas.trial import Trial


@dataclass(frozen=True)
class Making:
    """Makes a number, one more an epoch; its reports lack what candidates are compared by.

    Attributes:
        epochs: Epochs.
        fails: Whether its last epoch fails.
        unwritable: Whether its file has a name that no folder takes.
    """

    needs_architecture: ClassVar[bool] = False

    epochs: int = 3
    fails: bool = False
    unwritable: bool = False

    def start(self, trial: Trial) -> MakingRun:
        return MakingRun(self)


class MakingRun:
    def __init__(self, spec: Making) -> None:
        self._spec, self._epoch = spec, 0

    @property
    def done(self) -> bool:
        return self._epoch == self._spec.epochs

    def step(self) -> Report:
        self._epoch += 1
        if self._spec.fails and self.done:
            raise RuntimeError("out of numbers")
        return Report({"train_loss": 1.0 / self._epoch}, self._epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._epoch = state["epoch"]

    def artifacts(self) -> Mapping[str, bytes]:
        name = "no/such/folder" if self._spec.unwritable else "number"
        return {name: str(self._epoch).encode()}


@dataclass(frozen=True)
class Using:
    """Adds the number that lies where the trial says to a made-up accuracy.

    Attributes:
        training: How the number is made; None: it lies at the experiment's ``supernet``.
    """

    needs_supernet: ClassVar[bool] = True

    training: Making | None = None

    @property
    def prelude(self) -> Making | None:
        return self.training

    def start(self, trial: Trial) -> UsingRun:
        return UsingRun(trial)


class UsingRun:
    def __init__(self, trial: Trial) -> None:
        assert trial.supernet is not None
        assert "://" in trial.supernet or Path(trial.supernet).is_absolute()
        self._number = float(folder(trial.supernet).read("number"))
        self._trial = trial
        self.done = False

    def step(self) -> Report:
        self.done = True
        index = get_space(self._trial.space).index(self._trial.architecture)
        value = index * 7919 % 1000 / 10.1 + self._number
        return Report({"valid_accuracy_pct": value}, 1)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass
