"""Trains one architecture from scratch as NAS-Bench-201 does (Dong and Yang, ICLR 2020, Sec. 2.3).

Departure: on a GPU the forward pass runs in bfloat16 unless ``precision: float32`` is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from raynas.trial import Trial
    from raynas.workloads._training import Training

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class TrainArchitecture:
    """SGD with a cosine learning rate; one step is one epoch, and the last also tests.

    Attributes:
        epochs: Epochs.
        batch_size: Training images a step.
        lr: Learning rate of the first epoch; epoch e of E, from 0, has ``lr * (1 + cos(pi * e / E)) / 2``.
        momentum: Momentum of SGD.
        nesterov: Nesterov's momentum.
        weight_decay: L2 coefficient on all weights, batch norms and biases too, as in the benchmark.
        channels: Channels of the first stage.
        cells: Cells a stage.
        stages: Stages.
        augment: Augment training images as is the dataset's custom.
        precision: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on a GPU that has it.
        eval_batch_size: Images a batch at validation; of no influence on results but rounding.
    """

    epochs: int = 200
    batch_size: int = 256
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    channels: int = 16
    cells: int = 5
    stages: int = 3
    augment: bool = True
    precision: Precision = "auto"
    eval_batch_size: int = 512

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "channels", "cells", "stages", "eval_batch_size"):
            if (count := getattr(self, name)) < 1:
                raise ValueError(f"{name}: {count} is below 1; give 1 or more")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr: {self.lr} is not positive and finite; give a learning rate such as 0.1")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: {self.momentum} is outside [0, 1); give 0.9, or 0 for none")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: needs a momentum above 0; set nesterov: false")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay: {self.weight_decay} is negative or not finite; give 0 for none")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision: '{self.precision}'; due is one of {', '.join(get_args(Precision))}")

    def start(self, trial: Trial) -> Training:
        """A training before its first epoch.

        Raises:
            InputError: The trial lacks an architecture or a dataset, or they cannot be trained.
        """
        from raynas.workloads._training import Training  # so that checking a config loads no torch

        return Training(self, trial)
