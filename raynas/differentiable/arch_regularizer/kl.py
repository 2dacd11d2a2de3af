"""Divergence of the mixing weights' Dirichlet laws from the uniform ones (DrNAS; Chen et al., ICLR 2021).

It is the released code's ``reg_type: kl``, which goes with ``alpha: {weight_decay: 0}``. Its default is that
weight decay in place of this penalty: it, too, pulls concentrations to 1.

Departure: a law is taken over what is alive on its edge, which is that of the weights drawn there. The
released code keeps pruned operations in it with concentration 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raynas.differentiable.parameters import Parameters
from raynas.differentiable.relaxation.dirichlet import concentration
from raynas.differentiable.schedule import Coefficient, Progress, require_not_negative, value
from raynas.supernets.layout import Alive


@dataclass(frozen=True)
class KL:
    """Sum over all edges of the divergence KL(Dir(ELU(alpha) + 1) || Dir(1)), in nats.

    Attributes:
        weight: The released code's ``reg_scale``.
    """

    weight: Coefficient = 1e-3

    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}

    def __post_init__(self) -> None:
        require_not_negative(weight=self.weight)

    def penalty(self, logits: Parameters, alive: Alive, progress: Progress) -> Tensor | None:
        """See ``raynas.differentiable.slots.ArchRegularizer``; None where the weight is 0."""
        weight = value(self.weight, progress)
        if weight == 0:
            return None
        parts = [
            divergence(concentration(rows), torch.tensor(alive[kind], device=rows.device)).sum()
            for kind, rows in logits.items()
        ]
        return weight * torch.stack(parts).sum()


def divergence(concentrations: Tensor, counts: Tensor) -> Tensor:
    """KL(Dir(b) || Dir(1)) of each row's columns that are alive.

    Args:
        concentrations: ``(edges, columns)``, positive.
        counts: ``(edges, columns)``.

    Returns:
        ``(edges,)`` in nats; 0 where fewer than two are alive.
    """
    n_alive = counts.sum(-1)
    undecided = n_alive > 1
    total = torch.where(undecided, (concentrations * counts).sum(-1), 1.0)
    above = torch.digamma(concentrations) - torch.digamma(total)[:, None]
    terms = (concentrations - 1) * above - torch.lgamma(concentrations)
    whole = torch.lgamma(total) - torch.lgamma(n_alive.clamp(min=1).to(total))
    return torch.where(undecided, whole + torch.where(counts, terms, 0.0).sum(-1), 0.0)
