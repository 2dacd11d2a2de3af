"""The network that an architecture is trained in from scratch, and its width for a number of multiply-adds.

DARTS cells are compared on ImageNet at about 600 million multiply-adds (Liu et al., ICLR 2019, Sec. 3.3).
GeNAS (Jeong et al., IJCAI 2023) puts 14 in a row and chooses the channels of each architecture for it: its
published widths are the even ones that come closest.

Departure: a budget is never exceeded, as two of the four published networks do, by 0.4 and 1.7 percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from raynas.errors import InputError
from raynas.lookup import find
from raynas.ranges import require_positive
from raynas.spaces import Architecture
from raynas.supernets.darts_shape import StemName, require_layers

if TYPE_CHECKING:
    from torch import nn

WIDEST = 256
"""Most channels that a budget may lead to; what is counted is built, so it must fit into memory."""


@dataclass(frozen=True)
class Target:
    """A network to be trained, but for its architecture; its other fields are those of its kind of network.

    Attributes:
        channels: Channels before the image is first halved within the cells.
        in_channels: Channels of the images.
        n_classes: Number of logits.
        image_size: Pixels a side of the images; of influence on the multiply-adds alone.
    """

    network_class: ClassVar[str]
    """``module:Class`` of the network."""

    channels: int = 16
    in_channels: int = 3
    n_classes: int = 10
    image_size: int = 32

    def __post_init__(self) -> None:
        require_positive(**{name: size for name, size in asdict(self).items() if isinstance(size, int)})
        if self.channels < self.narrowest:
            raise ValueError(f"channels: {self.channels} is below {self.narrowest}; give as many or more")

    @property
    def narrowest(self) -> int:
        """Fewest channels that the network can have."""
        return 1

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the network's class, but for its generator."""
        return {name: value for name, value in asdict(self).items() if name != "image_size"}

    def network(self, architecture: Architecture, seed: int = 0) -> nn.Module:
        """The network with first weights drawn from a seed.

        Raises:
            InputError: The architecture is not of the kind, or has operations that cannot be built.
        """
        import torch  # so that naming a target loads no torch

        generator = torch.Generator().manual_seed(seed)
        made: nn.Module = find("raynas.supernets", self.network_class)(
            architecture, **self.options, generator=generator
        )
        return made


@dataclass(frozen=True)
class DartsTarget(Target):
    """Cells of the DARTS space; by default GeNAS's network for ImageNet.

    Attributes:
        layers: Cells, 3 or more.
        stem: ``cifar`` keeps the image's size, ``imagenet`` brings it to an eighth.
    """

    network_class: ClassVar[str] = "raynas.supernets.darts:DartsNetwork"

    channels: int = 48
    n_classes: int = 1000
    image_size: int = 224
    layers: int = 14
    stem: StemName = "imagenet"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_layers(self.layers)

    @property
    def narrowest(self) -> int:
        return 2 if self.stem == "imagenet" else 1


@dataclass(frozen=True)
class NasBench201Target(Target):
    """Cells like those of NAS-Bench-201; by default the benchmark's network for CIFAR.

    Attributes:
        cells: Cells a stage.
        stages: Stages.
    """

    network_class: ClassVar[str] = "raynas.supernets.nas_bench_201:NasBench201Network"

    cells: int = 5
    stages: int = 3


DARTS_CIFAR = DartsTarget(channels=36, n_classes=10, image_size=32, layers=20, stem="cifar")
"""The network in which DARTS trains its cells on CIFAR."""

TARGETS: Mapping[str, Target] = MappingProxyType(
    {"darts": DartsTarget(), "nas_bench_201": NasBench201Target()}
)
"""By the kind of the search space."""

T = TypeVar("T", bound=Target)


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        flops: Multiply-adds of one image, as ``raynas.supernets.cost`` counts them.
        parameters: Trainable numbers.
    """

    flops: int
    parameters: int


def cost(architecture: Architecture, target: Target) -> Cost:
    """What a network costs, counted in the network itself; there is no auxiliary head.

    Raises:
        InputError: The network cannot be built.
    """
    from raynas.supernets.cost import count_flops, count_parameters
    from raynas.supernets.threads import threads

    side = target.image_size
    with threads(1):
        network = target.network(architecture)
        flops = count_flops(network, (target.in_channels, side, side))
    return Cost(flops, count_parameters(network))


def within(architecture: Architecture, target: T, flops_m: float, *, multiple_of: int = 1) -> tuple[T, Cost]:
    """The widest network within a budget.

    Every layer's multiply-adds grow with the channels or with their square (but for odd widths, whose halves
    are rounded). So two narrow networks say where to look, and the counts of the networks there decide.

    Args:
        architecture: Whose cells.
        target: The network; its channels are of no influence.
        flops_m: Multiply-adds of one image, in millions, that are not to be exceeded.
        multiple_of: What the channels are a multiple of.

    Returns:
        The target with its channels, and what it costs.

    Raises:
        InputError: The narrowest network exceeds the budget, or one of ``WIDEST`` channels does not.
    """
    if not 0 < flops_m < math.inf:
        raise InputError(f"flops_m: {flops_m} is not positive and finite; give millions, such as 600")
    if not 1 <= multiple_of <= WIDEST:
        raise InputError(f"multiple_of: {multiple_of} is outside 1 to {WIDEST}; give 1 for any width")

    @cache
    def at(channels: int) -> Cost:
        return cost(architecture, replace(target, channels=channels))

    budget = flops_m * 1e6
    estimate = _fitting(2, at(2).flops, at(4).flops, budget)
    if estimate > WIDEST:
        raise InputError(
            f"flops_m: {flops_m:g} pays for more than {WIDEST} channels, the most that are tried; give less"
        )
    least = -(-target.narrowest // multiple_of) * multiple_of
    channels = max(least, math.floor(estimate / multiple_of) * multiple_of)
    while at(channels).flops > budget:
        if channels == least:
            raise InputError(
                f"flops_m: {flops_m:g} is below the {at(least).flops / 1e6:.6g} million multiply-adds of the "
                f"narrowest network, of {least} channels; give more, or options of a smaller network"
            )
        channels -= multiple_of
    while channels + multiple_of <= WIDEST and at(channels + multiple_of).flops <= budget:
        channels += multiple_of
    return replace(target, channels=channels), at(channels)


def _fitting(channels: int, flops: int, flops_of_twice: int, budget: float) -> float:
    """Channels at which ``a * channels**2 + b * channels`` is the budget, if it is so at two widths."""
    a = (flops_of_twice - 2 * flops) / (2 * channels**2)
    b = flops / channels - a * channels
    # The root in the form that a = 0 leaves in force: there may be no operation that mixes channels.
    return 2 * budget / (b + math.sqrt(b**2 + 4 * a * budget))
