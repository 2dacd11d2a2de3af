"""The training of one architecture under way: what ``TrainArchitecture`` starts."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from raynas.data.batches import Batch, EvaluationBatches, TrainingBatches
from raynas.data.device import DeviceSplit, resident
from raynas.data.images import UNCHANGED
from raynas.errors import InputError, RaynasError
from raynas.search.asktell import Report
from raynas.seeding import derive
from raynas.supernets.cost import count_flops, count_parameters
from raynas.supernets.nas_bench_201 import NasBench201Network
from raynas.supernets.precision import autocast
from raynas.supernets.snapshot import copied
from raynas.trial import Trial, require_finite

if TYPE_CHECKING:
    from raynas.workloads.train_architecture import TrainArchitecture


class Training:
    """One architecture on its way from random weights to the last epoch.

    Weights, data order and augmentation have each a stream of the trial's seed, so that trials of one seed
    differ in nothing but the architecture.

    Args:
        settings: How to train.
        trial: What to train, on what.
    """

    def __init__(self, settings: TrainArchitecture, trial: Trial) -> None:
        if trial.architecture is None or trial.dataset is None:
            lack = "architecture" if trial.architecture is None else "dataset"
            raise InputError(
                f"workload train_architecture: the trial has no {lack}; name one in the configuration"
            )
        torch.set_num_threads(trial.n_threads)
        self._settings = settings
        self._architecture = str(trial.architecture)
        self._epoch = 0
        self._data = resident(trial.dataset, trial.device)
        self._network = NasBench201Network(
            trial.architecture,
            channels=settings.channels,
            cells=settings.cells,
            stages=settings.stages,
            in_channels=self._data.image_shape[0],
            n_classes=self._data.n_classes,
            generator=torch.Generator().manual_seed(derive(trial.seed, "weights")),
        ).to(trial.device)
        self._optimizer = torch.optim.SGD(
            self._network.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
        )
        self._batches = TrainingBatches(
            self._data.train,
            batch_size=settings.batch_size,
            order_seed=derive(trial.seed, "order"),
            augmentation=self._data.augmentation if settings.augment else UNCHANGED,
            augmentation_seed=derive(trial.seed, "augmentation"),
        )
        self._device = self._data.train.device
        self._costs = {
            "parameters_m": count_parameters(self._network) / 1e6,
            "flops_m": count_flops(self._network, self._data.image_shape) / 1e6,
        }

    @property
    def done(self) -> bool:
        """Whether the last epoch is over."""
        return self._epoch >= self._settings.last_epoch

    def step(self) -> Report:
        """Trains one epoch and validates; after the last epoch tests, too.

        Raises:
            Diverged: A loss is not a finite number.
        """
        if self.done:
            raise RuntimeError(f"all {self._settings.last_epoch} epochs are over")
        started = time.perf_counter()
        metrics = self._train_one_epoch()
        metrics |= self._evaluate("valid", self._data.valid)
        if self._epoch + 1 == self._settings.last_epoch:
            metrics |= self._evaluate("test", self._data.test)
        self._epoch += 1
        return Report(metrics | self._costs, epoch=self._epoch, cost_s=time.perf_counter() - started)

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU of weights, optimiser, epoch and generators."""
        return {
            "architecture": self._architecture,
            "epoch": self._epoch,
            "weights": copied(self._network.state_dict()),
            "optimizer": copied(self._optimizer.state_dict()),
            "batches": self._batches.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken; on the same machine, bit for bit.

        Raises:
            RaynasError: The state is of another architecture.
        """
        if state["architecture"] != self._architecture:
            raise RaynasError(f"the checkpoint is of {state['architecture']}; due is {self._architecture}")
        self._network.load_state_dict(state["weights"])
        # The optimiser keeps the very tensors it is given, which the caller may want to use again.
        self._optimizer.load_state_dict(copied(state["optimizer"]))
        self._batches.load_state_dict(state["batches"])
        self._epoch = state["epoch"]

    def _train_one_epoch(self) -> dict[str, float]:
        fraction = self._epoch / self._settings.epochs
        learning_rate = self._settings.lr * (1 + math.cos(math.pi * fraction)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._network.train()
        metrics = self._passed("train", self._batches, learn=True)
        return metrics | {"learning_rate": learning_rate}

    def _evaluate(self, name: str, split: DeviceSplit) -> dict[str, float]:
        self._network.eval()
        batches = EvaluationBatches(split, batch_size=self._settings.eval_batch_size)
        with torch.inference_mode():
            return self._passed(name, batches, learn=False)

    def _passed(self, name: str, batches: Iterable[Batch], *, learn: bool) -> dict[str, float]:
        """Mean loss and accuracy over one pass; summed on the device, so that no step waits for them."""
        total_loss = torch.zeros((), device=self._device)
        n_correct = torch.zeros((), device=self._device)
        n_images = 0
        for images, labels in islice(batches, self._settings.max_batches):
            with autocast(self._settings.precision, self._device):
                logits = self._network(images)
                loss = functional.cross_entropy(logits, labels)
            if learn:
                self._optimizer.zero_grad()
                torch.autograd.backward(loss)
                self._optimizer.step()
            total_loss += loss.detach() * len(labels)
            n_correct += (logits.detach().argmax(1) == labels).sum()
            n_images += len(labels)
        summed_loss, correct = torch.stack([total_loss, n_correct]).tolist()
        mean_loss = summed_loss / n_images
        require_finite(f"{name}_loss", mean_loss, self._epoch + 1)
        return {f"{name}_loss": mean_loss, f"{name}_accuracy_pct": 100 * correct / n_images}
