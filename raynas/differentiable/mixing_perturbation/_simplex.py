"""Mixing weights that are moved a little and remain mixing weights (SDARTS; Chen and Hsieh, ICML 2020)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from raynas.supernets.layout import Alive
from raynas.supernets.mixing import Theta


def shaken(theta: Theta, epsilon: float, alive: Alive, generator: torch.Generator) -> dict[str, Tensor]:
    """Uniform noise in +-epsilon on every weight, clipped.

    Each edge of each kind has one draw, which cells that have weights of their own share. It is made on the
    CPU in double precision, so that a device and a number format do not change it.

    Args:
        theta: ``(edges, columns)`` weights of each kind, or ``(cells, edges, columns)``.
        epsilon: Greatest noise.
        alive: ``(edges, columns)`` of each kind: what still counts.
        generator: A CPU generator.
    """
    found = {}
    for kind, rows in theta.items():
        draw = torch.rand(rows.shape[-2:], generator=generator, dtype=torch.float64)
        noise = (epsilon * (2 * draw - 1)).to(rows)
        found[kind] = clipped(rows + noise, rows, alive[kind])
    return found


def clipped(moved: Tensor, theta: Tensor, alive: NDArray[np.bool_]) -> Tensor:
    """Rows of weights from numbers of any size: each into [0, 1], then divided by their sum.

    Where nothing of a row is left, all its weight goes to the greatest number. Operations that are not alive
    stay at 0, and rows of which at most one is alive stay as they were.

    Args:
        moved: ``(..., edges, columns)``.
        theta: The weights before they were moved, of the same shape.
        alive: ``(edges, columns)``.
    """
    counts = torch.as_tensor(alive, device=moved.device)
    inside = moved.clamp(0, 1) * counts
    total = inside.sum(-1, keepdim=True)
    greatest = moved.masked_fill(~counts, -torch.inf).argmax(-1)
    corner = functional.one_hot(greatest, moved.shape[-1]).to(moved)
    rows = torch.where(total > 0, inside / total, corner)
    return torch.where(counts.sum(-1, keepdim=True) > 1, rows, theta)
