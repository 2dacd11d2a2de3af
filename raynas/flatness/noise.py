"""Random steps away from trained weights, of growing size (GeNAS; Jeong et al., IJCAI 2023, Sec. 3.2).

The noise is Gaussian, absolute (not scaled by the weights), and drawn for each weight by its name, so that
what one weight gets does not hang on which others there are.

Departures: by default all levels share one draw, the least noisy reading, where the paper draws for each
level anew (``direct``) and the released code adds steps on top of one another (``cumulative``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from raynas.flatness.subject import Weights
from raynas.seeding import derive

if TYPE_CHECKING:
    from torch import Tensor

Mode: TypeAlias = Literal["shared", "direct", "cumulative"]
Position: TypeAlias = Literal["all", "cells"]


@dataclass(frozen=True)
class Noise:
    """Which noise; equal ones make equal weights of equal weights, so that what they make may be kept.

    Attributes:
        sigma: Standard deviations of the levels, positive and increasing.
        mode: With e a standard normal draw for each weight and i = 1, 2, ... the levels:
            ``shared`` gives w + sigma_i e; ``direct`` w + sigma_i e_i; ``cumulative`` the weights of level
            i - 1 plus (sigma_i - sigma_(i-1)) e_i, in all of standard deviation sqrt(sum of squared steps).
        position: Which weights are moved: ``all``, or those of the searched ``cells`` alone.
        seed: Of the draws.

    Raises:
        ValueError: There is no level, or the levels do not increase from above 0.
    """

    sigma: tuple[float, ...]
    mode: Mode = "shared"
    position: Position = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        require_levels(self.sigma)


def require_levels(sigma: tuple[float, ...]) -> None:
    """Refuses levels of noise that do not increase from above 0.

    Raises:
        ValueError: They are such levels, or there are none.
    """
    bounds = (0.0, *sigma)
    if not sigma or not all(low < high < math.inf for low, high in zip(bounds, sigma, strict=False)):
        raise ValueError(
            f"sigma: {list(sigma)} are not levels of noise; give positive numbers, each above the one "
            "before, such as [0.002, 0.01, 0.02]"
        )


def perturbed(weights: Weights, noise: Noise, *, in_cells: Callable[[str], bool]) -> list[Weights]:
    """The weights at every level of noise; those given stay as they are.

    The draws are made on the CPU in float32, so that they are the same on every device and in every format.

    Args:
        weights: By name; on any device.
        noise: Which.
        in_cells: Whether a weight of that name belongs to the searched cells.

    Returns:
        One mapping a level, with the names of ``weights``; weights that are not moved are the tensors given.
    """
    moved = [name for name in weights if noise.position == "all" or in_cells(name)]
    levels: list[Weights] = []
    for level, (before, now) in enumerate(zip((0.0, *noise.sigma), noise.sigma, strict=False)):
        added = noise.mode == "cumulative"
        stream = 0 if noise.mode == "shared" else level
        start = levels[-1] if added and levels else weights
        step = now - before if added else now
        steps = {name: start[name] + step * _draw(weights[name], noise.seed, stream, name) for name in moved}
        levels.append({**weights, **steps})
    return levels


def _draw(like: Tensor, seed: int, level: int, name: str) -> Tensor:
    import torch  # so that checking a config loads no torch

    generator = torch.Generator().manual_seed(derive(seed, "noise", level, name))
    return torch.randn(like.shape, generator=generator).to(like)
