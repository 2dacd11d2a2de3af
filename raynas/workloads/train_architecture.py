"""Trains one architecture from scratch as NAS-Bench-201 does (Dong and Yang, ICLR 2020, Sec. 2.3).

Departure: on a GPU the forward pass runs in bfloat16 unless ``precision: float32`` is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from raynas.ranges import require_choice, require_positive, require_positive_or_none, require_sgd

if TYPE_CHECKING:
    from raynas.spaces import SearchSpace
    from raynas.trial import Trial
    from raynas.workloads._training import Training

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class TrainArchitecture:
    """SGD with a cosine learning rate; one step is one epoch, and the last also tests.

    Attributes:
        epochs: Epochs of the schedule.
        stop_after: Epoch to end with, for a reading part of the way down the schedule; None: the last.
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
        max_batches: Batches that training and each evaluation end with, to try things out; None: all.
    """

    needs_dataset: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        "train_loss",
        "train_accuracy_pct",
        "valid_loss",
        "valid_accuracy_pct",
        "test_loss",
        "test_accuracy_pct",
        "learning_rate",
        "parameters_m",
        "flops_m",
    )

    epochs: int = 200
    stop_after: int | None = None
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
    max_batches: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "channels", "cells", "stages", "eval_batch_size"):
            require_positive(**{name: getattr(self, name)})
        if self.stop_after is not None and not 1 <= self.stop_after <= self.epochs:
            raise ValueError(f"stop_after: {self.stop_after} is outside 1 to epochs, {self.epochs}")
        require_positive_or_none("max_batches", self.max_batches, none="all")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr: {self.lr} is not positive and finite; give a learning rate such as 0.1")
        require_sgd(
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )
        require_choice("precision", self.precision, get_args(Precision))

    @property
    def last_epoch(self) -> int:
        """Epoch after which the trial is done."""
        return self.epochs if self.stop_after is None else self.stop_after

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        if space.kind != "nas_bench_201":
            yield (
                "name",
                f"train_architecture builds networks of cells like NAS-Bench-201's, and {space.name} is of "
                f"kind '{space.kind}'; use search_space: nas_bench_201, or a space of that kind",
            )

    def start(self, trial: Trial) -> Training:
        """A training before its first epoch.

        Raises:
            InputError: The trial lacks an architecture or a dataset, or they cannot be trained.
        """
        from raynas.workloads._training import Training  # so that checking a config loads no torch

        return Training(self, trial)
