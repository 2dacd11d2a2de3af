"""Trains one canonical cell with several seeds side by side: the trainings that a table is made of.

All architectures of one canonical form (``raynas.spaces.canonical``) are the same training. Weights and data
order hang on ``seeds`` and on nothing else of the run, so that a training can be repeated anywhere. The
grouping belongs to the recipe: alone, a seed's numbers differ in their last bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from raynas.ranges import require_positive

if TYPE_CHECKING:
    from raynas.spaces import SearchSpace
    from raynas.trial import Trial
    from raynas.workloads._canonical_training import CanonicalTraining


@dataclass(frozen=True)
class TrainCanonicalCell:
    """Adam with decoupled weight decay and a cosine learning rate a step; one step() is one epoch.

    Every metric is reported as the mean over the seeds, and as ``<metric>.<seed>`` for each of them.

    Attributes:
        seeds: One network each.
        epochs: Epochs of the schedule.
        batch_size: Training images a step; an epoch's last, smaller batch is dropped.
        lr: Learning rate of the first step; step t of T, from 0, has ``lr * (1 + cos(pi * t / T)) / 2``.
        betas: Adam's decay rates of the two moments.
        eps: Added to the root of Adam's second moment.
        weight_decay: Decoupled; on the weights of convolutions and the classifier alone.
        channels: Channels of the first stage.
        cells: Cells a stage.
        stages: Stages.
        shifted_test: At the end, also test on shifted images; see ``raynas.data.shifted``.
        eval_batch_size: Images a batch at evaluation; of no influence on results but rounding.
    """

    needs_dataset: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        "train_loss",
        "train_accuracy_pct",
        "valid_loss",
        "valid_accuracy_pct",
        "test_loss",
        "test_accuracy_pct",
        "training_s",
        "parameters_m",
        "flops_m",
    )

    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 20
    batch_size: int = 32
    lr: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 5e-4
    channels: int = 8
    cells: int = 1
    stages: int = 1
    shifted_test: bool = True
    eval_batch_size: int = 64

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "channels", "cells", "stages", "eval_batch_size")
        require_positive(**{name: getattr(self, name) for name in counts})
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)} must be one or more, each once; give [0, 1, 2]")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr: {self.lr} is not positive and finite; give a learning rate such as 0.01")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: {list(self.betas)} are not both in [0, 1); give [0.9, 0.99]")
        if not 0 < self.eps < math.inf:
            raise ValueError(f"eps: {self.eps} is not positive and finite; give 1e-8")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay: {self.weight_decay} is negative or not finite; give 0 for none")

    @property
    def last_epoch(self) -> int:
        """Epoch after which the trial is done."""
        return self.epochs

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        if space.kind != "nas_bench_201":
            yield (
                "name",
                f"train_canonical_cell trains cells like NAS-Bench-201's, and {space.name} is of kind "
                f"'{space.kind}'; use search_space: nas_bench_201, or a space of that kind",
            )

    def start(self, trial: Trial) -> CanonicalTraining:
        """A training before its first epoch.

        Raises:
            InputError: The trial lacks an architecture or a dataset, or they cannot be trained.
        """
        from raynas.workloads._canonical_training import CanonicalTraining  # no torch to check a config

        return CanonicalTraining(self, trial)
