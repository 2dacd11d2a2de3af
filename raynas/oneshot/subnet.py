"""Sub-networks of a trained supernet, as metrics of flatness see them.

A candidate costs a pass over the recalibration's images and an evaluation of what its output hangs on, with
batch norms folded into the convolutions; all else is shared with the others (``raynas.oneshot.shared``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raynas.data.batches import EvaluationBatches
from raynas.data.device import DeviceDataset, resident
from raynas.flatness.network import TrainedNetwork
from raynas.flatness.noise import Noise
from raynas.flatness.subject import Subject, Weights
from raynas.flatness.vector import Products, Vector
from raynas.oneshot.about import About, read_about
from raynas.oneshot.kernels import Evaluating, Recalibrating
from raynas.oneshot.outline import Columns, Outline
from raynas.oneshot.path import living, path_of
from raynas.oneshot.recalibration import recalibrated, share_of_batches
from raynas.oneshot.settings import Scoring
from raynas.oneshot.shared import Shared, in_cells
from raynas.oneshot.steps import Kernels, Other, weights_of
from raynas.oneshot.trained import TrainedSupernet, load
from raynas.spaces import Architecture
from raynas.supernets.draws import drawn_from
from raynas.supernets.operations import Noise as NoiseOperation
from raynas.supernets.precision import autocast

_IMAGES_OF_LOSS = 256


class Scorer:
    """Sub-networks of a trained supernet, to be scored on the same images.

    Args:
        trained: The supernet.
        data: On the device to compute on.
        scoring: Which images; None for the defaults.
        seed: Of their choice.

    Raises:
        InputError: The images are not of the size or the classes that the supernet was made for.
    """

    def __init__(
        self,
        trained: TrainedSupernet,
        data: DeviceDataset,
        scoring: Scoring | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self._shared = Shared(trained, data, Scoring() if scoring is None else scoring, seed=seed)

    @property
    def about(self) -> About:
        """What the supernet is."""
        return self._shared.about

    def subnet(self, architecture: Architecture) -> Subject:
        """A sub-network.

        Raises:
            InputError: The architecture is of another space.
        """
        shared = self._shared
        shared.network.layout.space.index(architecture)
        if shared.outline is None:
            return _OfAnySkeleton(shared, architecture)
        return Subnet(shared, shared.outline, architecture)


@lru_cache(maxsize=2)
def _scorer(uri: str, fingerprint: str, dataset: Any, device: str, scoring: Scoring, seed: int) -> Scorer:
    return Scorer(load(uri), resident(dataset, device), scoring, seed=seed)


def resident_scorer(uri: str, dataset: Any, device: str, scoring: Scoring, *, seed: int) -> Scorer:
    """The scorer of a supernet's directory, made once a process and kept for the next candidate.

    Args:
        uri: Path or URI of the directory.
        dataset: A component of ``raynas.data.dataset``.
        device: As torch writes it.
        scoring: Which images.
        seed: Of their choice.

    Raises:
        InputError: A file is missing, torn or foreign, or the images do not suit the supernet.
    """
    return _scorer(uri, read_about(uri).fingerprint, dataset, device, scoring, seed)


class Subnet:
    """The sub-network of one architecture, a subject of ``raynas.flatness``.

    Its weights are those that its output hangs on, by their names in the supernet.

    Args:
        shared: With the supernet's other sub-networks.
        outline: Of the supernet.
        architecture: Which.
    """

    def __init__(self, shared: Shared, outline: Outline, architecture: Architecture) -> None:
        self._shared, self._outline = shared, outline
        self.architecture, self.name = architecture, str(architecture)
        self._columns = _columns(outline, architecture)
        steps = list(outline.steps(self._columns))
        self._names = weights_of(steps)
        self._draws = any(
            isinstance(step, Other) and isinstance(step.module, NoiseOperation) for step in steps
        )
        self.weights: Weights = {name: shared.weights[name] for name in self._names}

    @property
    def initial(self) -> Weights:
        return {name: self._shared.initial[name] for name in self._names}

    def in_cells(self, name: str) -> bool:
        return in_cells(name)

    def perturbed(self, noise: Noise) -> Sequence[Weights]:
        return self._shared.perturbed(noise, self._names)

    def losses(self, levels: Sequence[Weights]) -> list[float]:
        with torch.inference_mode():
            return [loss for loss, _ in self._evaluated(levels, getattr(levels, "noise", None))]

    def loss(self, weights: Weights) -> Tensor:
        images, labels = next(iter(EvaluationBatches(self._shared.valid, batch_size=_IMAGES_OF_LOSS)))
        with self._reproducible():
            logits = self._logits(images, Evaluating([weights], self.statistics))
        return functional.cross_entropy(logits[0], labels)

    def accuracy_pct(self) -> float:
        with torch.inference_mode():
            return self._evaluated([self.weights], "trained")[0][1]

    def vector(self) -> Vector:
        return self._shared.vectors.of(self.architecture)

    def products(self) -> Mapping[str, Products]:
        return self._shared.products

    @cached_property
    def statistics(self) -> dict[str, Tensor]:
        """Recalibrated means and variances of the batch norms on the path, by name; see ``recalibration``."""
        settings = self._shared.scoring.recalibration
        abreast = 1 if self._draws else None  # one after another, operations draw alike for each
        noted: dict[str, list[Tensor]] = {}
        n_batches = 0
        with torch.no_grad(), self._reproducible():
            for number, (images, n_groups) in enumerate(self._shared.recalibration(self.name, abreast)):
                kernels = Recalibrating(self.weights, n_groups)
                self._logits(images, kernels, ("recalibration", number))
                for name, pair in kernels.noted.items():
                    noted.setdefault(name, []).append(torch.stack(pair).view(2, n_groups, -1))
                n_batches += n_groups
            shares = share_of_batches(settings, n_batches)
            weights = torch.tensor(shares, device=self._shared.device)[None, :, None]
            rest = 1 - sum(shares) if settings.mode == "ema" else 0.0
            found = {}
            for name, parts in noted.items():
                mean, variance = (torch.cat(parts, dim=1) * weights).sum(1)
                found[f"{name}.running_mean"] = mean
                found[f"{name}.running_var"] = variance + rest
        return found

    def _evaluated(self, levels: Sequence[Weights], called: Hashable) -> list[tuple[float, float]]:
        """Mean loss and accuracy in percent under each of some weights, of which all sub-networks share what
        the weights are called; None: nothing.
        """
        sums = []
        abreast = 1 if self._draws else self._shared.abreast(len(levels))
        for first in range(0, len(levels), abreast):
            kernels = Evaluating(levels[first : first + abreast], self.statistics)
            sums.append(self._summed(kernels, None if called is None else (called, first)))
        n_images = len(self._shared.valid)
        return [(loss / n_images, 100 * right / n_images) for loss, right in torch.cat(sums).tolist()]

    def _summed(self, kernels: Evaluating, called: tuple[Hashable, ...] | None) -> Tensor:
        """``(groups, 2)`` summed losses and images that are right."""
        n_groups = kernels.n_groups
        found = torch.zeros(n_groups, 2, dtype=torch.float64, device=self._shared.device)
        with self._reproducible():
            for number, (images, labels) in enumerate(self._shared.batches(n_groups)):
                key = None if called is None else (*called, number)
                logits = self._logits(images, kernels, key).float()
                each = functional.cross_entropy(
                    logits.flatten(0, 1), labels.repeat(n_groups), reduction="none"
                ).view(n_groups, -1)
                right = (logits.argmax(2) == labels) & logits.isfinite().all(2)
                found += torch.stack([each.double().sum(1), right.double().sum(1)], dim=1)
        return found

    def _logits(self, images: Tensor, kernels: Kernels, called: tuple[Hashable, ...] | None = None) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        beginnings = None if called is None else self._shared.beginnings(*called)
        with autocast(self._shared.scoring.precision, images.device), _whole_float32():
            return self._outline.logits(images, self._columns, kernels, beginnings)

    def _reproducible(self) -> contextlib.AbstractContextManager[None]:
        """Operations draw the same in every pass over the images."""
        shared = self._shared
        return drawn_from(shared.seed, shared.device) if self._draws else contextlib.nullcontext()


@contextlib.contextmanager
def _whole_float32() -> Iterator[None]:
    """Convolutions on a GPU keep all digits of their weights, where noise of 1e-5 stands."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class _OfAnySkeleton(TrainedNetwork):
    """A sub-network of a supernet that has no outline, such as one of a user's own skeleton."""

    def __init__(self, shared: Shared, architecture: Architecture) -> None:
        self._shared, self._architecture = shared, architecture
        mixing = path_of(shared.network.layout, architecture, device=shared.device)
        buffers = recalibrated(
            shared.network,
            mixing,
            [images for images, _ in shared.recalibration(str(architecture), abreast=1)],
            shared.scoring.recalibration,
            seed=shared.seed,
            precision=shared.scoring.precision,
        )
        super().__init__(
            shared.network,
            shared.batches(),
            initial=shared.initial,
            name=str(architecture),
            arguments=(mixing,),
            buffers=buffers,
            in_cells=in_cells,
            context=partial(autocast, shared.scoring.precision, shared.device),
        )

    def perturbed(self, noise: Noise) -> Sequence[Weights]:
        return self._shared.perturbed(noise, list(self.weights))

    def vector(self) -> Vector:
        return self._shared.vectors.of(self._architecture)

    def products(self) -> Mapping[str, Products]:
        return self._shared.products


def _columns(outline: Outline, architecture: Architecture) -> Columns:
    layout = outline.layout
    alive = living(layout, layout.alive_of(architecture))
    return {
        kind: [int(np.flatnonzero(row)[0]) if row.any() else None for row in rows]
        for kind, rows in alive.items()
    }
