"""Mixing weights drawn from a Dirichlet law on each edge (DrNAS; Chen et al., ICLR 2021).

Its concentration is ``ELU(alpha) + 1``, 1 everywhere at logits of 0. One draw a forward pass, shared by all
cells of a kind; the derivatives are pathwise, those of ``torch.distributions.Dirichlet.rsample``.

Departures: a draw is a smooth function of the logits and of a fixed number of uniform numbers. PyTorch's own
sampler rejects, so that at logits a little to the side it draws something else from the same generator, and
the difference of two gradients (A2M) would measure that. The draw is made on the CPU in double precision.
Where operations were given up, the derivatives are those of the law that is left, not of the whole one before
the rest is scaled to sum to 1; they agree on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from raynas.differentiable.parameters import Parameters
from raynas.differentiable.relaxation.softmax import masked_softmax
from raynas.differentiable.schedule import Progress
from raynas.differentiable.slots import Relaxed
from raynas.supernets.layout import Alive

_LEAST = 1e-30


@dataclass(frozen=True)
class Dirichlet:
    """Samples of Dirichlet laws, or in evaluations their means.

    The whole row is drawn; what is not alive is then zeroed and the rest scaled to sum to 1.

    Attributes:
        evaluate: What the supernet is evaluated with: ``sample``, as in the released code, or ``mean``.
    """

    twice_differentiable: ClassVar[bool] = False

    evaluate: Literal["sample", "mean"] = "sample"

    def theta(
        self, logits: Parameters, alive: Alive, progress: Progress, generator: torch.Generator
    ) -> Relaxed:
        """See ``raynas.differentiable.slots.Relaxation``; has first derivatives only."""
        return Relaxed({kind: _drawn(rows, alive[kind], generator) for kind, rows in logits.items()})

    def evaluated(
        self, logits: Parameters, alive: Alive, progress: Progress, generator: torch.Generator
    ) -> Relaxed:
        """The weights of an evaluation."""
        if self.evaluate == "sample":
            return self.theta(logits, alive, progress, generator)
        return Relaxed({kind: mean(rows, alive[kind]) for kind, rows in logits.items()})


def concentration(rows: Tensor) -> Tensor:
    """Concentrations of the Dirichlet laws, ``ELU(alpha) + 1`` (DrNAS).

    Args:
        rows: ``(edges, columns)`` logits.
    """
    return functional.elu(rows) + 1


def mean(rows: Tensor, alive: NDArray[np.bool_]) -> Tensor:
    """Means of the weights that are alive; zeros elsewhere.

    Args:
        rows: ``(edges, columns)`` logits.
        alive: ``(edges, columns)``.
    """
    kept = concentration(rows) * torch.tensor(alive, device=rows.device)
    total = kept.sum(-1, keepdim=True)
    return kept / total.masked_fill(total == 0, 1.0)


def _drawn(rows: Tensor, alive: NDArray[np.bool_], generator: torch.Generator) -> Tensor:
    # in double precision ELU(-40) + 1 is 0, which is no concentration
    numbers = concentration(rows.to("cpu", torch.float64)).clamp(min=_LEAST)
    uniform = torch.rand((2, *rows.shape), generator=generator, dtype=torch.float64)
    drawn: Tensor = _Sample.apply(numbers, alive, uniform)  # type: ignore[no-untyped-call]
    return drawn.to(rows.device, rows.dtype)


class _Sample(torch.autograd.Function):
    """A Dirichlet sample as gamma numbers over their sum, with pathwise derivatives."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, alive: NDArray[np.bool_], uniform: Tensor) -> Tensor:
        """Args: ``(edges, columns)`` concentrations, what is alive, and ``(2, edges, columns)`` in [0, 1)."""
        above = torch.from_numpy(special.gammaincinv((b + 1).numpy(), uniform[0].numpy()))
        # a gamma number of b is one of b + 1, times a uniform number to the power of 1 / b
        sample = masked_softmax(above.log() + torch.log1p(-uniform[1]) / b, alive)
        ctx.save_for_backward(b, torch.tensor(alive), sample)
        return sample

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        b, counts, sample = ctx.saved_tensors
        total = (b * counts).sum(-1, keepdim=True).expand_as(b)
        numbers = torch.finfo(b.dtype)
        inside = sample.clamp(numbers.tiny, 1 - numbers.eps)
        # d sample[i] / d b[j] = pull[j] * ((i == j) - sample[i]), where more than one is left
        pull = torch._dirichlet_grad(inside, b, total)
        pull = pull.where(counts & (counts.sum(-1, keepdim=True) > 1), 0.0)
        return pull * (gradient - (sample * gradient).sum(-1, keepdim=True)), None, None
