"""Sub-networks of a trained supernet, as metrics of flatness see them.

All that candidates have in common is made once and kept: the images, the recalibration's batches, the
perturbed weights of each noise. A candidate then costs a pass over the recalibration's images and an
evaluation of what its output hangs on, with batch norms folded into the convolutions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raynas.data.batches import EvaluationBatches
from raynas.data.device import DeviceDataset, DeviceSplit, resident
from raynas.data.images import DatasetSpec
from raynas.errors import InputError
from raynas.flatness.network import TrainedNetwork
from raynas.flatness.noise import Noise, perturbed
from raynas.flatness.subject import Subject, Weights
from raynas.flatness.vector import Products, Vector, products
from raynas.oneshot.about import About, read_about
from raynas.oneshot.kernels import Evaluating, Recalibrating
from raynas.oneshot.outline import OUTLINES, Beginnings, Columns, Kernels, Outline, weights_of
from raynas.oneshot.path import living, path_of
from raynas.oneshot.recalibration import RecalibrationImages, recalibrated, share_of_batches
from raynas.oneshot.settings import Scoring
from raynas.oneshot.trained import TrainedSupernet, load
from raynas.oneshot.vectors import Vectors
from raynas.seeding import derive
from raynas.spaces import Architecture
from raynas.supernets.precision import autocast

_KEPT_NOISES = 4
_KEPT_MAPS = 12
_MOST_KEPT = 1 << 24
_CHANNELS_ABREAST = 24
_ROOM_CPU = 1 << 18
_ROOM_GPU = 1 << 27
_OUTSIDE_CELLS = ("stem.", "head.")


class Scorer:
    """A trained supernet and the images that its sub-networks are scored on.

    Args:
        trained: The supernet.
        data: On the device to compute on.
        scoring: Which images.
        seed: Of their choice.

    Attributes:
        about: What the supernet is.

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
        self.about = trained.about
        _require_images(trained.about, data)
        self.scoring = Scoring() if scoring is None else scoring
        self.seed = derive(seed, "scoring")
        self.device = data.train.device
        network = trained.network().to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights: Weights = {name: part.detach() for name, part in self.network.named_parameters()}
        self._trained = trained
        self.images = RecalibrationImages(data, self.scoring.recalibration, seed=self.seed)
        self.valid = _subset(data.valid, self.scoring.n_valid, self.seed)
        kind = OUTLINES.get(str(trained.about.skeleton["name"]))
        self.outline: Outline | None = None if kind is None else kind(self.network)
        self._noises: OrderedDict[Noise, dict[str, list[Tensor]]] = OrderedDict()
        self._beginnings: dict[tuple[Hashable, ...], Beginnings] = {}

    def subnet(self, architecture: Architecture) -> Subject:
        """A sub-network; its statistics are taken when they are first needed.

        Raises:
            InputError: The architecture is of another space.
        """
        space = self.network.layout.space
        space.index(architecture)
        if self.outline is None:
            return _OfAnySkeleton(self, architecture)
        return Subnet(self, self.outline, architecture)

    @cached_property
    def initial(self) -> Weights:
        """The weights before training."""
        return {name: part.to(self.device) for name, part in self._trained.initial.items()}

    @cached_property
    def products(self) -> dict[str, Products]:
        """Of the initial and the trained weights."""
        return products(self.initial, self.weights)

    @cached_property
    def vectors(self) -> Vectors:
        """Of all architectures."""
        return Vectors(self.network)

    def perturbed(self, noise: Noise, names: Iterable[str]) -> Levels:
        """Some of the weights at each level of noise; what is made is kept for the next sub-network.

        The draws hang on the names of weights, so that it does not matter which were asked for before.
        """
        kept = self._noises.setdefault(noise, {})
        self._noises.move_to_end(noise)
        if len(self._noises) > _KEPT_NOISES:
            oldest, _ = self._noises.popitem(last=False)
            self._beginnings = {key: kept for key, kept in self._beginnings.items() if oldest not in key}
        names = list(names)
        missing = {name: self.weights[name] for name in names if name not in kept}
        if missing:
            levels = perturbed(missing, noise, in_cells=in_cells)
            kept.update({name: [level[name] for level in levels] for name in missing})
        levels = [{name: kept[name][level] for name in names} for level in range(len(noise.sigma))]
        return Levels(levels, noise)

    def beginnings(self, *key: Hashable) -> Beginnings | None:
        """What sub-networks begin with on some images, under some weights; None where that is too much.

        Args:
            key: Which images and weights; a ``Noise`` among them is forgotten with what it has made.
        """
        n_networks = 1 + max((len(part.sigma) for part in key if isinstance(part, Noise)), default=0)
        n_numbers = len(self.valid) * self._width * n_networks * _KEPT_MAPS
        if self.scoring.recalibration.mode == "ema" or n_numbers > _MOST_KEPT:
            return None
        return self._beginnings.setdefault(key, Beginnings())

    def batches(self, n_groups: int = 1) -> EvaluationBatches:
        """The validation images, in batches that suit the device.

        Args:
            n_groups: Networks that are evaluated side by side.
        """
        size = self.scoring.batch_size
        if size is None:
            size = max(1, self._room // (n_groups * self._width))
        return EvaluationBatches(self.valid, batch_size=size)

    def abreast(self, n: int) -> int:
        """How many of n networks are best computed side by side."""
        channels = int(self.about.skeleton.get("channels", 1 << 30))
        return max(1, min(n, _CHANNELS_ABREAST // channels)) if self.device.type == "cpu" else 1

    @property
    def _width(self) -> int:
        """Numbers in an image's largest map."""
        _, height, width = self.about.image_shape
        return int(self.about.skeleton.get("channels", 16)) * height * width

    @property
    def _room(self) -> int:
        return _ROOM_CPU if self.device.type == "cpu" else _ROOM_GPU


class Levels(list[Weights]):
    """Weights at each level of a noise, of which the scorer knows where they come from.

    Args:
        levels: The weights.
        noise: That made them.
    """

    def __init__(self, levels: Iterable[Weights], noise: Noise) -> None:
        super().__init__(levels)
        self.noise = noise


@lru_cache(maxsize=2)
def _scorer(
    uri: str, fingerprint: str, dataset: DatasetSpec, device: str, scoring: Scoring, seed: int
) -> Scorer:
    return Scorer(load(uri), resident(dataset, device), scoring, seed=seed)


def resident_scorer(
    uri: str, dataset: DatasetSpec, device: str, scoring: Scoring, *, seed: int
) -> Scorer:
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
        scorer: Of the supernet.
        outline: Of the supernet.
        architecture: Which.
    """

    def __init__(self, scorer: Scorer, outline: Outline, architecture: Architecture) -> None:
        self._scorer, self._outline = scorer, outline
        self.architecture, self.name = architecture, str(architecture)
        self._columns = _columns(outline, architecture)
        self._names = list(weights_of(outline.steps(self._columns)))
        self.weights: Weights = {name: scorer.weights[name] for name in self._names}

    @property
    def initial(self) -> Weights:
        return {name: self._scorer.initial[name] for name in self._names}

    def in_cells(self, name: str) -> bool:
        return in_cells(name)

    def perturbed(self, noise: Noise) -> Sequence[Weights]:
        return self._scorer.perturbed(noise, self._names)

    def losses(self, levels: Sequence[Weights]) -> list[float]:
        with torch.inference_mode():
            return [loss for loss, _ in self._evaluated(levels, getattr(levels, "noise", None))]

    def loss(self, weights: Weights) -> Tensor:
        images, labels = next(iter(self._scorer.batches()))
        logits = self._logits(images, Evaluating([weights], self.statistics))
        return functional.cross_entropy(logits[0], labels)

    def accuracy_pct(self) -> float:
        with torch.inference_mode():
            return self._evaluated([self.weights], "trained")[0][1]

    def vector(self) -> Vector:
        return self._scorer.vectors.of(self.architecture)

    def products(self) -> Mapping[str, Products]:
        return self._scorer.products

    @cached_property
    def statistics(self) -> dict[str, Tensor]:
        """Recalibrated means and variances of the batch norms on the path, by name; see ``recalibration``."""
        settings = self._scorer.scoring.recalibration
        batches = self._scorer.images.batches(self.name)
        noted: dict[str, list[Tensor]] = {}
        abreast = self._scorer.abreast(len(batches))
        with torch.no_grad():
            for first in range(0, len(batches), abreast):
                group = batches[first : first + abreast]
                kernels = Recalibrating(self.weights, len(group))
                self._logits(torch.cat(group, dim=1), kernels, ("recalibration", first))
                for name, pair in kernels.noted.items():
                    noted.setdefault(name, []).append(torch.stack(pair).unflatten(1, (len(group), -1)))
            shares = share_of_batches(settings, len(batches))
            weights = torch.tensor(shares, device=self._scorer.device)[None, :, None]
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
        abreast = self._scorer.abreast(len(levels))
        for first in range(0, len(levels), abreast):
            kernels = Evaluating(levels[first : first + abreast], self.statistics)
            sums.append(self._summed(kernels, None if called is None else (called, first)))
        n_images = len(self._scorer.valid)
        return [(loss / n_images, 100 * right / n_images) for loss, right in torch.cat(sums).tolist()]

    def _summed(self, kernels: Evaluating, called: tuple[Hashable, ...] | None) -> Tensor:
        """``(groups, 2)`` summed losses and images that are right."""
        n_groups = kernels.n_groups
        found = torch.zeros(n_groups, 2, dtype=torch.float64, device=self._scorer.device)
        for number, (images, labels) in enumerate(self._scorer.batches(n_groups)):
            key = None if called is None else (*called, number)
            logits = self._logits(images, kernels, key).float()
            each = functional.cross_entropy(
                logits.flatten(0, 1), labels.repeat(n_groups), reduction="none"
            ).unflatten(0, (n_groups, -1))
            right = (logits.argmax(2) == labels) & logits.isfinite().all(2)
            found += torch.stack([each.double().sum(1), right.double().sum(1)], dim=1)
        return found

    def _logits(
        self, images: Tensor, kernels: Kernels, called: tuple[Hashable, ...] | None = None
    ) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        beginnings = None if called is None else self._scorer.beginnings(*called)
        with autocast(self._scorer.scoring.precision, images.device):
            return self._outline.logits(images, self._columns, kernels, beginnings)


class _OfAnySkeleton(TrainedNetwork):
    """A sub-network of a supernet that has no outline, such as one of a user's own skeleton."""

    def __init__(self, scorer: Scorer, architecture: Architecture) -> None:
        self._scorer, self._architecture = scorer, architecture
        mixing = path_of(scorer.network.layout, architecture, device=scorer.device)
        buffers = recalibrated(
            scorer.network,
            mixing,
            scorer.images.batches(str(architecture)),
            scorer.scoring.recalibration,
            seed=scorer.seed,
        )
        super().__init__(
            scorer.network,
            scorer.batches(),
            initial=scorer.initial,
            name=str(architecture),
            arguments=(mixing,),
            buffers=buffers,
            in_cells=in_cells,
        )

    def perturbed(self, noise: Noise) -> Sequence[Weights]:
        return self._scorer.perturbed(noise, self.weights)

    def vector(self) -> Vector:
        return self._scorer.vectors.of(self._architecture)

    def products(self) -> Mapping[str, Products]:
        return self._scorer.products


def in_cells(name: str) -> bool:
    """Whether a weight of that name is in the supernet's body: neither in its stem nor in its head."""
    return not name.startswith(_OUTSIDE_CELLS)


def _columns(outline: Outline, architecture: Architecture) -> Columns:
    layout = outline.layout
    alive = living(layout, layout.alive_of(architecture))
    return {
        kind: [int(np.flatnonzero(row)[0]) if row.any() else None for row in rows]
        for kind, rows in alive.items()
    }


def _subset(split: DeviceSplit, n: int | None, seed: int) -> DeviceSplit:
    if n is None or n >= len(split):
        return split
    generator = torch.Generator().manual_seed(derive(seed, "valid"))
    chosen = torch.randperm(len(split), generator=generator)[:n].sort().values.to(split.device)
    return replace(split, images=split.images[chosen], labels=split.labels[chosen])


def _require_images(about: About, data: DeviceDataset) -> None:
    if data.image_shape != about.image_shape or data.n_classes != about.n_classes:
        raise InputError(
            f"a supernet for {about.n_classes} classes of {_size(about.image_shape)} images, and the "
            f"dataset has {data.n_classes} classes of {_size(data.image_shape)}; use the dataset that it was "
            "trained on"
        )


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
