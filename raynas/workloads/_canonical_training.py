"""The training of one canonical cell under way: what ``TrainCanonicalCell`` starts."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.data.device import resident
from raynas.data.shifted import shifted
from raynas.errors import InputError, RaynasError
from raynas.search.asktell import Report
from raynas.seeding import derive
from raynas.spaces.canonical import canonical_form
from raynas.supernets.canonical import CanonicalNetwork
from raynas.supernets.cost import count_flops, count_parameters
from raynas.trial import Trial, require_finite

if TYPE_CHECKING:
    from raynas.workloads.train_canonical_cell import TrainCanonicalCell

Metrics = dict[str, list[float]]
"""Of each metric one value a seed."""

Labelled = tuple[Tensor, Tensor]
"""``(n, C, H, W)`` network inputs and ``(n,)`` labels."""


class CanonicalTraining:
    """The networks of one cell, one a seed, on their way to the last epoch.

    Args:
        settings: How to train.
        trial: What to train, on what; its seed is not used.
    """

    def __init__(self, settings: TrainCanonicalCell, trial: Trial) -> None:
        if trial.architecture is None or trial.dataset is None:
            lack = "architecture" if trial.architecture is None else "dataset"
            raise InputError(
                f"workload train_canonical_cell: the trial has no {lack}; name one in the configuration"
            )
        torch.set_num_threads(trial.n_threads)
        self._settings, self._trial = settings, trial
        self._data = _inputs(trial.dataset, trial.device)
        self._n_steps = len(self._data["train"][1]) // settings.batch_size
        if not self._n_steps:
            raise InputError(
                f"workload train_canonical_cell: a batch_size of {settings.batch_size} is more than the "
                f"{len(self._data['train'][1])} training images; give a smaller one"
            )
        self._epoch = 0
        self._network = self._networks(settings.seeds).to(trial.device)
        self._optimizer = _adam(self._network, settings)
        self._orders = [torch.Generator().manual_seed(derive(seed, "order")) for seed in settings.seeds]
        self._sizes = self._measured()

    @property
    def done(self) -> bool:
        """Whether the last epoch is over."""
        return self._epoch >= self._settings.epochs

    def step(self) -> Report:
        """Trains one epoch, validates and tests; after the last epoch tests on shifted images, too.

        Raises:
            Diverged: A loss is not a finite number.
        """
        if self.done:
            raise RuntimeError(f"all {self._settings.epochs} epochs are over")
        started, busy = time.perf_counter(), time.process_time()
        metrics = self._train_one_epoch()
        metrics |= self._evaluated("valid", self._data["valid"])
        n_seeds = len(self._settings.seeds)
        metrics["training_s"] = [(time.process_time() - busy) / n_seeds] * n_seeds
        metrics |= self._evaluated("test", self._data["test"])
        self._epoch += 1
        if self._epoch == self._settings.epochs and self._settings.shifted_test:
            for name, images in _shifted_inputs(self._trial.dataset, self._trial.device).items():
                metrics |= self._evaluated(f"shifted_{name}", (images, self._data["test"][1]))
        return Report(self._sizes | self._flat(metrics), self._epoch, time.perf_counter() - started)

    def state_dict(self) -> dict[str, Any]:
        """Copies of weights, optimiser, epoch and generators."""
        state = {
            "architecture": str(self._trial.architecture),
            "epoch": self._epoch,
            "weights": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "orders": [order.get_state() for order in self._orders],
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken; on the same machine, bit for bit.

        Raises:
            RaynasError: The state is of another architecture.
        """
        if state["architecture"] != str(self._trial.architecture):
            raise RaynasError(
                f"the checkpoint is of {state['architecture']}; due is {self._trial.architecture}"
            )
        self._network.load_state_dict(state["weights"])
        # The optimiser keeps the very tensors it is given, which the caller may want to use again.
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        for order, position in zip(self._orders, state["orders"], strict=True):
            order.set_state(position)
        self._epoch = state["epoch"]

    def _networks(self, seeds: tuple[int, ...]) -> CanonicalNetwork:
        assert self._trial.architecture is not None
        images, _ = self._data["train"]
        settings = self._settings
        return CanonicalNetwork(
            canonical_form(self._trial.architecture),
            seeds=seeds,
            channels=settings.channels,
            cells=settings.cells,
            stages=settings.stages,
            in_channels=images.shape[1],
            n_classes=resident(self._trial.dataset, self._trial.device).n_classes,
        )

    def _measured(self) -> dict[str, float]:
        one = self._networks(self._settings.seeds[:1])
        shape = tuple(self._data["train"][0].shape[1:])
        return {"parameters_m": count_parameters(one) / 1e6, "flops_m": count_flops(one, shape) / 1e6}

    def _train_one_epoch(self) -> Metrics:
        settings, network = self._settings, self._network
        images, labels = self._data["train"]
        drawn = [torch.randperm(len(labels), generator=order) for order in self._orders]
        orders = torch.stack(drawn).to(labels.device)
        network.train()
        losses = torch.zeros(len(self._orders), device=labels.device)
        n_correct = torch.zeros_like(losses)
        for step in range(self._n_steps):
            fraction = (self._epoch * self._n_steps + step) / (settings.epochs * self._n_steps)
            for group in self._optimizer.param_groups:
                group["lr"] = settings.lr * (1 + math.cos(math.pi * fraction)) / 2
            batch = orders[:, step * settings.batch_size : (step + 1) * settings.batch_size]
            logits = network(network.side_by_side(images[batch]))
            each = functional.cross_entropy(logits, labels[batch], reduction="none").mean(1)
            self._optimizer.zero_grad()
            torch.autograd.backward(each.sum())
            self._optimizer.step()
            losses += each.detach()
            n_correct += (logits.detach().argmax(1) == labels[batch]).sum(1)
        n_images = self._n_steps * settings.batch_size
        return self._checked("train", losses / self._n_steps, n_correct, n_images)

    def _evaluated(self, name: str, split: Labelled) -> Metrics:
        images, labels = split
        network, size = self._network, self._settings.eval_batch_size
        network.eval()
        losses = torch.zeros(len(self._orders), device=labels.device)
        n_correct = torch.zeros_like(losses)
        with torch.inference_mode():
            for start in range(0, len(labels), size):
                logits = network(network.side_by_side(images[start : start + size]))
                due = labels[start : start + size].expand(len(logits), -1)
                losses += functional.cross_entropy(logits, due, reduction="none").sum(1)
                n_correct += (logits.argmax(1) == due).sum(1)
        return self._checked(name, losses / len(labels), n_correct, len(labels))

    def _checked(self, name: str, losses: Tensor, n_correct: Tensor, n_images: int) -> Metrics:
        found = losses.tolist()
        for loss in found:
            require_finite(f"{name}_loss", loss, self._epoch + 1)
        accuracies = [100 * count / n_images for count in n_correct.tolist()]
        return {f"{name}_loss": found, f"{name}_accuracy_pct": accuracies}

    def _flat(self, metrics: Metrics) -> dict[str, float]:
        flat = {name: sum(values) / len(values) for name, values in metrics.items()}
        for name, values in metrics.items():
            flat |= {
                f"{name}.{seed}": value for seed, value in zip(self._settings.seeds, values, strict=True)
            }
        return flat


def _adam(network: nn.Module, settings: TrainCanonicalCell) -> torch.optim.AdamW:
    normed = {
        id(tensor)
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
        for tensor in module.parameters()
    }
    plain = [
        tensor
        for name, tensor in network.named_parameters()
        if id(tensor) in normed or name.endswith(".bias")
    ]
    undecayed = set(map(id, plain))
    decayed = [tensor for tensor in network.parameters() if id(tensor) not in undecayed]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        fused=True,
    )


@lru_cache(maxsize=2)
def _inputs(dataset: Any, device: str) -> dict[str, Labelled]:
    """The splits as network inputs, kept for the next trial of this process."""
    data = resident(dataset, device)
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    return {name: (split.normalized(split.images), split.labels) for name, split in splits.items()}


@lru_cache(maxsize=2)
def _shifted_inputs(dataset: Any, device: str) -> dict[str, Tensor]:
    return {name: torch.tensor(images, device=device) for name, images in shifted(dataset.load()).items()}
