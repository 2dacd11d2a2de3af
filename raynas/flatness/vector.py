"""A network's weights as one vector, whose turn during training is an angle (RLNAS; Zhang et al., CVPR 2021).

The vector strings together the weights along every path of an architecture, so that a weight stands in it as
often as paths run through it, with constants for operations that have no weights. It is never built to take
an angle: products of tensors, times how often each stands in it, are enough, and those of one supernet serve
all its architectures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raynas.flatness.subject import Weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Constant:
    """Entries of a vector that training does not move.

    Attributes:
        value: What each of them is.
        count: How many there are.
        zeros: Zeros beside them, which make the vector longer in entries only.
    """

    value: float
    count: int
    zeros: int = 0


@dataclass(frozen=True, eq=False)
class Vector:
    """Which weights and constants a vector is made of; empty where an architecture has no living path.

    Attributes:
        times: How often each weight stands in it, by name.
        constants: How often each constant does.
    """

    times: Mapping[str, int] = field(default_factory=dict)
    constants: Mapping[Constant, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Products:
    """Scalar products of a weight before and after training, in float64.

    Attributes:
        before: Of the initial weight with itself.
        after: Of the trained weight with itself.
        across: Of the one with the other.
    """

    before: float
    after: float
    across: float


def products(initial: Weights, weights: Weights, names: Iterable[str] | None = None) -> dict[str, Products]:
    """Scalar products of weights before and after training.

    Args:
        initial: Before.
        weights: After; on the same device.
        names: Which; None for all of ``weights``.
    """
    import torch  # so that checking a config loads no torch

    chosen = list(weights if names is None else names)
    if not chosen:
        return {}
    rows = []
    for name in chosen:
        before, after = (tensor[name].detach().double().flatten() for tensor in (initial, weights))
        rows.append(torch.stack([before @ before, after @ after, before @ after]))
    numbers = torch.stack(rows).tolist()  # one wait for the device
    return {name: Products(*row) for name, row in zip(chosen, numbers, strict=True)}


def strung(vector: Vector, weights: Weights) -> Tensor:
    """The vector itself, ``(n,)``: the weights one after another, then the constants."""
    import torch

    like = next(iter(weights.values()))
    parts = [weights[name].detach().flatten().repeat(times) for name, times in vector.times.items()]
    for constant, times in vector.constants.items():
        once = torch.cat([like.new_full((constant.count,), constant.value), like.new_zeros(constant.zeros)])
        parts.append(once.repeat(times))
    return torch.cat(parts) if parts else like.new_zeros(0)
