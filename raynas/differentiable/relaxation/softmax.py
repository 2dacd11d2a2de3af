"""Softmax over each edge's operations (DARTS; Liu et al., ICLR 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.differentiable.parameters import Parameters
from raynas.differentiable.schedule import Progress
from raynas.differentiable.slots import Relaxed
from raynas.supernets.layout import Alive


@dataclass(frozen=True)
class Softmax:
    """Softmax of the logits, over what is alive."""

    def theta(
        self, logits: Parameters, alive: Alive, progress: Progress, generator: torch.Generator
    ) -> Relaxed:
        """See ``raynas.differentiable.slots.Relaxation``; nothing is drawn."""
        return Relaxed({kind: masked_softmax(rows, alive[kind]) for kind, rows in logits.items()})


def masked_softmax(rows: Tensor, alive: NDArray[np.bool_]) -> Tensor:
    """Softmax of each row over its columns that are alive; zeros where none is.

    Args:
        rows: ``(edges, columns)`` logits.
        alive: ``(edges, columns)``.
    """
    if alive.all():
        return torch.softmax(rows, -1)
    counts = torch.as_tensor(alive, device=rows.device)
    # a row of which nothing is left is softened as a whole, and then zeroed
    hidden = ~counts & counts.any(-1, keepdim=True)
    return torch.softmax(rows.masked_fill(hidden, -torch.inf), -1) * counts
