"""What all sub-networks of a trained supernet have in common when they are scored, made once and kept.

A noise is drawn once for all weights that any sub-network asks for, and images lie on the device. Where the
network is small, so is kept what the first layers make of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from raynas.data.batches import EvaluationBatches
from raynas.data.device import DeviceDataset, DeviceSplit
from raynas.errors import InputError
from raynas.flatness.noise import Noise, perturbed
from raynas.flatness.subject import Weights
from raynas.flatness.vector import Products, products
from raynas.oneshot.about import About
from raynas.oneshot.outline import OUTLINES, Beginnings, Outline
from raynas.oneshot.recalibration import RecalibrationImages
from raynas.oneshot.settings import Scoring
from raynas.oneshot.trained import TrainedSupernet
from raynas.oneshot.vectors import Vectors
from raynas.seeding import derive

_OUTSIDE_CELLS = ("stem.", "head.")
_NOISES = 4  # kept at a time
_MAPS = 12  # of an image that all sub-networks together begin with, about
_MOST_NUMBERS = 1 << 24  # in all maps kept of one noise

# Measured on one core: below 16 channels, three networks side by side take half the time of three in turn;
# from 16 on they take longer. Maps of 2 MB stay in the cache.
_CHANNELS_ABREAST = 24
_NUMBERS_AT_ONCE = {"cpu": 1 << 19}
_NUMBERS_AT_ONCE_ELSEWHERE = 1 << 25


class Levels(list[Weights]):
    """Weights at each level of a noise, which is known with them.

    Args:
        levels: The weights.
        noise: That made them.
    """

    def __init__(self, levels: Iterable[Weights], noise: Noise) -> None:
        super().__init__(levels)
        self.noise = noise


class Shared:
    """A supernet, images and what was made of them.

    Args:
        trained: The supernet.
        data: On the device to compute on.
        scoring: Which images.
        seed: Of their choice.

    Attributes:
        about: What the supernet is.
        scoring: Which images.
        device: Where everything lies.
        network: The trained supernet, in evaluation mode.
        outline: Its outline; None for a user's own skeleton.
        weights: Its trained weights by name.
        valid: Validation images.
        seed: Of what scoring draws.

    Raises:
        InputError: The images are not of the size or the classes that the supernet was made for.
    """

    def __init__(self, trained: TrainedSupernet, data: DeviceDataset, scoring: Scoring, *, seed: int) -> None:
        _require_images(trained.about, data)
        self.about, self.scoring, self.device = trained.about, scoring, data.train.device
        network = trained.network().to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights: Weights = {name: part.detach() for name, part in self.network.named_parameters()}
        of_skeleton = OUTLINES.get(str(trained.about.skeleton["name"]))
        self.outline: Outline | None = None if of_skeleton is None else of_skeleton(self.network)
        self.seed = derive(seed, "scoring")
        self._recalibration = RecalibrationImages(data, scoring.recalibration, seed=self.seed)
        self._recalibration_groups: dict[int, list[tuple[Tensor, int]]] = {}
        self.valid = _subset(data.valid, scoring.n_valid, self.seed)
        self._trained = trained
        self._noises: OrderedDict[Noise, dict[str, list[Tensor]]] = OrderedDict()
        self._beginnings: dict[tuple[Hashable, ...], Beginnings] = {}
        _, height, width = trained.about.image_shape
        self._channels: int = trained.about.skeleton.get("channels", 16)
        self._numbers = self._channels * height * width  # in the largest map of an image, about

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

    def perturbed(self, noise: Noise, names: Sequence[str]) -> Levels:
        """Some of the weights at each level of a noise.

        Draws hang on the weights' names, so that it does not matter which were asked for before.
        """
        known = self._noises.setdefault(noise, {})
        self._noises.move_to_end(noise)
        if len(self._noises) > _NOISES:
            oldest, _ = self._noises.popitem(last=False)
            self._beginnings = {key: kept for key, kept in self._beginnings.items() if oldest not in key}
        missing = {name: self.weights[name] for name in names if name not in known}
        if missing:
            made = perturbed(missing, noise, in_cells=in_cells)
            known.update({name: [level[name] for level in made] for name in missing})
        return Levels(
            ({name: known[name][level] for name in names} for level in range(len(noise.sigma))), noise
        )

    def recalibration(self, name: str, abreast: int | None = None) -> list[tuple[Tensor, int]]:
        """The recalibration's batches as ``(n, batches * C, H, W)`` network inputs, and how many they are.

        Args:
            name: Of the sub-network, where each has batches of its own.
            abreast: How many lie side by side; None: as many as is best.
        """
        own = self.scoring.recalibration.mode == "ema"
        batches = self._recalibration.batches(name)
        abreast = self.abreast(len(batches)) if abreast is None else abreast
        if not own and abreast in self._recalibration_groups:
            return self._recalibration_groups[abreast]
        groups = [batches[first : first + abreast] for first in range(0, len(batches), abreast)]
        found = [
            (torch.cat(group, dim=1).contiguous(memory_format=torch.channels_last), len(group))
            for group in groups
        ]
        if not own:
            self._recalibration_groups[abreast] = found
        return found

    def beginnings(self, *key: Hashable) -> Beginnings | None:
        """What sub-networks begin with, on some images under some weights.

        Args:
            key: Which images and weights. What a ``Noise`` among them has made is forgotten with it.

        Returns:
            None where it would be too much to keep, or each has statistics of its own.
        """
        n_levels = max((len(part.sigma) for part in key if isinstance(part, Noise)), default=1)
        much = len(self.valid) * self._numbers * n_levels * _MAPS > _MOST_NUMBERS
        if much or self.scoring.recalibration.mode == "ema":
            return None
        return self._beginnings.setdefault(key, Beginnings())

    def batches(self, n_groups: int = 1) -> EvaluationBatches:
        """The validation images.

        Args:
            n_groups: Networks that they are shown to at once.
        """
        size = self.scoring.batch_size
        if size is None:
            room = _NUMBERS_AT_ONCE.get(self.device.type, _NUMBERS_AT_ONCE_ELSEWHERE)
            size = max(1, room // (n_groups * self._numbers))
        return EvaluationBatches(self.valid, batch_size=size)

    def abreast(self, n: int) -> int:
        """How many of n networks are best computed side by side."""
        return max(1, min(n, _CHANNELS_ABREAST // self._channels)) if self.device.type == "cpu" else 1


def in_cells(name: str) -> bool:
    """Whether a weight of that name is in the supernet's body: neither in its stem nor in its head."""
    return not name.startswith(_OUTSIDE_CELLS)


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
