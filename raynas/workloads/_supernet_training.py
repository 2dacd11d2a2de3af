"""The training of a supernet under way: what ``TrainSupernet`` starts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from raynas import seeding
from raynas.data.batches import Batch, EvaluationBatches, TrainingBatches
from raynas.data.device import DeviceDataset, DeviceSplit, resident
from raynas.data.images import UNCHANGED
from raynas.differentiable.losses import Losses, Tally
from raynas.errors import InputError, RaynasError
from raynas.oneshot.about import DATASETS, About, plain
from raynas.oneshot.path import PathSampler
from raynas.oneshot.trained import files
from raynas.search.asktell import Report
from raynas.seeding import derive
from raynas.spaces import get_space
from raynas.supernets.cost import count_parameters
from raynas.supernets.skeleton import SKELETONS, customary
from raynas.supernets.snapshot import copied
from raynas.supernets.statistics import untracked
from raynas.trial import Trial, require_finite
from raynas.workloads._peak_memory import PeakMemory

if TYPE_CHECKING:
    from raynas.workloads.train_supernet import TrainSupernet


class SupernetTraining:
    """A supernet on its way from random weights to the last epoch.

    Weights, data order, augmentation, paths and random labels have each a stream of the trial's seed; the
    path of a step hangs on its epoch and number alone.

    Args:
        settings: How to train.
        trial: In which space, on what.

    Raises:
        InputError: The trial lacks a dataset, or the skeleton does not suit the space.
    """

    def __init__(self, settings: TrainSupernet, trial: Trial) -> None:
        if trial.dataset is None:
            raise InputError(
                "workload train_supernet: the trial has no dataset; name one in the configuration"
            )
        torch.set_num_threads(trial.n_threads)
        self._memory = PeakMemory(trial.device)
        self._settings, self._seed, self._epoch = settings, trial.seed, 0
        space = get_space(trial.space)
        self._data = data = resident(trial.dataset, trial.device)
        skeleton = customary(settings.skeleton, space.kind)
        supernet = skeleton.supernet(
            space,
            in_channels=data.image_shape[0],
            n_classes=data.n_classes,
            generator=torch.Generator().manual_seed(derive(trial.seed, "weights")),
        )
        self._supernet = supernet.to(trial.device).to(memory_format=torch.channels_last).train()
        self._initial = copied(dict(self._supernet.named_parameters()))
        self._losses = Losses(self._supernet, settings.precision)
        self._sgd = torch.optim.SGD(
            self._supernet.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )
        self._paths = PathSampler(
            supernet.layout,
            supernet.n_cells,
            share_across_cells=settings.share_across_cells,
            device=trial.device,
        )
        self._batches = TrainingBatches(
            _labelled(data, settings.labels, trial.seed),
            batch_size=settings.batch_size,
            order_seed=derive(trial.seed, "order"),
            augmentation=data.augmentation if settings.augment else UNCHANGED,
            augmentation_seed=derive(trial.seed, "augmentation"),
        )
        self._about = About(
            space=trial.space,
            kind=space.kind,
            skeleton=plain(SKELETONS, skeleton),
            dataset=plain(DATASETS, trial.dataset),
            image_shape=data.image_shape,
            n_classes=data.n_classes,
            epochs=settings.epochs,
            seed=trial.seed,
            share_across_cells=settings.share_across_cells,
            labels=settings.labels,
            fingerprint="",
        )

    @property
    def done(self) -> bool:
        """Whether the last epoch is over."""
        return self._epoch >= self._settings.epochs

    def step(self) -> Report:
        """Trains one epoch; reports its losses, and those of random paths on the validation images.

        Training losses are without label smoothing. Validation images are shared out among
        ``valid_paths`` paths, the same in every epoch, and normalised by their batch's own statistics.

        Raises:
            Diverged: A loss is not a finite number.
        """
        if self.done:
            raise RuntimeError(f"all {self._settings.epochs} epochs are over")
        started = time.perf_counter()
        lr = self._lr(0)
        train_loss, train_accuracy = self._trained()
        require_finite("train_loss", train_loss, self._epoch + 1)
        valid_loss, valid_accuracy = self._validated()
        require_finite("valid_loss", valid_loss, self._epoch + 1)
        self._epoch += 1
        metrics = {
            "train_loss": train_loss,
            "train_accuracy_pct": train_accuracy,
            "valid_loss": valid_loss,
            "valid_accuracy_pct": valid_accuracy,
            "learning_rate": lr,
            "parameters_m": count_parameters(self._supernet) / 1e6,
            "peak_memory_mb": self._memory.mb(),
        }
        return Report(metrics, self._epoch, time.perf_counter() - started)

    def artifacts(self) -> dict[str, bytes]:
        """The trained supernet's files, by name; see ``raynas.oneshot.trained``."""
        return files(self._about, self._initial, self._supernet)

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU of weights, first weights, optimiser, epoch and generators."""
        return {
            "settings": repr(self._settings),
            "epoch": self._epoch,
            "initial": dict(self._initial),
            "weights": copied(self._supernet.state_dict()),
            "sgd": copied(self._sgd.state_dict()),
            "batches": self._batches.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken; on the same machine, bit for bit.

        Raises:
            RaynasError: The state is of another training.
        """
        if state["settings"] != repr(self._settings):
            raise RaynasError("the checkpoint is of another training than the trial's; start the trial anew")
        self._initial = copied(state["initial"])
        self._supernet.load_state_dict(state["weights"])
        self._sgd.load_state_dict(copied(state["sgd"]))  # it keeps the very tensors it is given
        self._batches.load_state_dict(state["batches"])
        self._epoch = state["epoch"]

    def _lr(self, step: int) -> float:
        return self._settings.lr_at((self._epoch + step / self._n_steps) / self._settings.epochs)

    @property
    def _n_steps(self) -> int:
        n = len(self._batches)
        return n if self._settings.max_batches is None else min(n, self._settings.max_batches)

    def _trained(self) -> tuple[float, float]:
        tally = Tally(self._data.train.device)
        for step, batch in enumerate(islice(self._batches, self._n_steps)):
            for group in self._sgd.param_groups:
                group["lr"] = self._lr(step)
            self._step(batch, ("step", self._epoch, step), tally)
        return tally.means()

    def _step(self, batch: Batch, names: tuple[str | int, ...], tally: Tally) -> None:
        mixing = self._paths.draw(seeding.generator(self._seed, "path", *names))
        loss, logits = self._losses.of(batch, mixing, derive(self._seed, "operations", *names))
        tally.add(loss, logits, batch[1])
        smoothing = self._settings.label_smoothing
        if smoothing:
            loss = functional.cross_entropy(logits.float(), batch[1], label_smoothing=smoothing)
        # weights that are not on the path are left without gradients, and so without momentum and decay
        self._sgd.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self._settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._supernet.parameters(), self._settings.clip)
        self._sgd.step()

    def _validated(self) -> tuple[float, float]:
        split, settings = self._data.valid, self._settings
        size = min(settings.eval_batch_size, math.ceil(len(split) / settings.valid_paths))
        tally = Tally(split.device)
        with torch.no_grad(), untracked(self._supernet):
            for number, batch in enumerate(
                islice(EvaluationBatches(split, batch_size=size), settings.max_batches)
            ):
                names = ("valid", number % settings.valid_paths)
                mixing = self._paths.draw(seeding.generator(self._seed, "path", *names))
                tally.add(*self._losses.of(batch, mixing, derive(self._seed, "operations", *names)), batch[1])
        return tally.means()


def _labelled(data: DeviceDataset, labels: str, seed: int) -> DeviceSplit:
    """The training images, with their own labels or with random ones."""
    if labels == "true":
        return data.train
    drawn = torch.Generator().manual_seed(derive(seed, "labels"))
    numbers = torch.randint(data.n_classes, (len(data.train),), generator=drawn)
    return replace(data.train, labels=numbers.to(data.train.device))
