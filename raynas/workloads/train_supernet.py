"""Trains a supernet a random path at a time (SPOS; Guo et al., ECCV 2020), as GeNAS and RLNAS do.

The defaults are RLNAS's on NAS-Bench-201 (Zhang et al., CVPR 2021), which GeNAS (Jeong et al., IJCAI 2023)
takes over. One step is one epoch.

Departures: the learning rate falls with every batch, in all schedules, and reaches its end with the last one;
the released codes step some of theirs once an epoch, and one epoch early. Operations that are not on a step's
path are left as they are in that step; in the PyTorch of the released codes their momentum and weight decay
went on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from raynas.lookup import Slot
from raynas.ranges import require_choice, require_positive, require_positive_or_none, require_sgd
from raynas.supernets.skeleton import SKELETONS, skeleton_problems

if TYPE_CHECKING:
    from raynas.spaces import SearchSpace
    from raynas.trial import Trial
    from raynas.workloads._supernet_training import SupernetTraining

Schedule = Literal["cosine", "linear"]
Labels = Literal["true", "random"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class TrainSupernet:
    """SGD on a supernet's weights, each batch along a path of its own.

    Attributes:
        skeleton: How cells are put together; None: as the search space's kind does by custom.
        epochs: Epochs.
        batch_size: Training images a step.
        lr: Learning rate of the first step; step s of S, from 0, has ``lr_min + (lr - lr_min) * f(s / S)``.
        lr_min: What the learning rate falls towards.
        schedule: f, which falls from 1 to 0: ``cosine``, ``(1 + cos(pi * x)) / 2``, or ``linear``, ``1 - x``.
        momentum: Momentum of SGD.
        nesterov: Nesterov's momentum.
        weight_decay: L2 coefficient on the weights of the path.
        clip: Greatest L2 norm of all gradients together; None: any.
        label_smoothing: Share of the label that is spread over all classes, in training.
        share_across_cells: In NAS-Bench-201, whether a path has one cell in all places, as a textbook's
            single path has, or draws each of its cells for itself, as RLNAS does. In other spaces cells of a
            kind are always the same.
        labels: ``true``, or ``random`` (RLNAS): training images get labels drawn once, uniformly.
        augment: Augment training images as is the dataset's custom.
        valid_paths: Random paths that validation images are shared out among, the same in every epoch.
        precision: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on a GPU that has it.
        eval_batch_size: Most images a batch at validation.
        max_batches: Batches that an epoch and a validation end with, to try things out; None: all.
    """

    needs_dataset: ClassVar[bool] = True
    needs_architecture: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = (
        "train_loss",
        "train_accuracy_pct",
        "valid_loss",
        "valid_accuracy_pct",
        "learning_rate",
        "parameters_m",
        "peak_memory_mb",
    )

    skeleton: Annotated[Any, Slot(SKELETONS)] | None = None
    epochs: int = 250
    batch_size: int = 64
    lr: float = 0.025
    lr_min: float = 0.001
    schedule: Schedule = "cosine"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    clip: float | None = None
    label_smoothing: float = 0.0
    share_across_cells: bool = False
    labels: Labels = "true"
    augment: bool = True
    valid_paths: int = 10
    precision: Precision = "float32"
    eval_batch_size: int = 512
    max_batches: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "valid_paths", "eval_batch_size"):
            require_positive(**{name: getattr(self, name)})
        require_positive_or_none("max_batches", self.max_batches, none="all")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr: {self.lr} is not positive and finite; give a learning rate such as 0.025")
        if not 0 <= self.lr_min <= self.lr:
            raise ValueError(f"lr_min: {self.lr_min} is outside 0 to lr, {self.lr}")
        require_sgd(
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            clip=self.clip,
        )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing: {self.label_smoothing} is outside [0, 1); give 0 for none")
        for name, choices in (("schedule", Schedule), ("labels", Labels), ("precision", Precision)):
            require_choice(name, getattr(self, name), get_args(choices))

    @property
    def last_epoch(self) -> int:
        """Epoch after which the trial is done."""
        return self.epochs

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        yield from skeleton_problems(self.skeleton, space.kind)

    def lr_at(self, share: float) -> float:
        """Learning rate where a share of all steps is over, in [0, 1]."""
        falling = (1 + math.cos(math.pi * share)) / 2 if self.schedule == "cosine" else 1 - share
        return self.lr_min + (self.lr - self.lr_min) * falling

    def start(self, trial: Trial) -> SupernetTraining:
        """A training before its first epoch.

        Raises:
            InputError: The trial lacks a dataset, or the skeleton does not suit the space.
        """
        from raynas.workloads._supernet_training import SupernetTraining  # so that checking loads no torch

        return SupernetTraining(self, trial)
