"""One operation an edge, drawn by hard Gumbel-softmax (GDAS; Dong and Yang, CVPR 2019).

A forward pass computes the drawn operations only; the others add their weights, zeros that carry the
gradient of the soft weights (straight through), to their edge's output.

Departures: the row's log-softmax, a shift by one number, is left out, since softmax and argmax do not see it.
The released code evaluates the supernet with drawn operations (``evaluate="sample"``); here it is by default
evaluated with the operations that an architecture is derived from, those of greatest softmax.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from raynas.differentiable.parameters import Parameters
from raynas.differentiable.relaxation.softmax import masked_softmax
from raynas.differentiable.schedule import Coefficient, Progress, Ramp, extremes, value
from raynas.differentiable.slots import Relaxed
from raynas.supernets.layout import Alive


@dataclass(frozen=True)
class Gumbel:
    """One-hot weights that are drawn anew for every forward pass, with the gradient of a softmax.

    Attributes:
        tau: Temperature of that softmax; the released search falls to 0.1 in its last epoch.
        evaluate: What the supernet is evaluated with: ``argmax``, each edge's likeliest operation;
            ``softmax``, all of them, a mixture that no forward pass of the search has seen; or ``sample``.
    """

    computes_all: ClassVar[bool] = False

    tau: Coefficient = field(default=Ramp((10.0, 0.1)))
    evaluate: Literal["argmax", "softmax", "sample"] = "argmax"

    def __post_init__(self) -> None:
        least, greatest = extremes(self.tau)
        if not 0 < least <= greatest < float("inf"):
            wrong = greatest if least > 0 else least
            raise ValueError(f"tau: {wrong} is not positive and finite; give 10, or {{ramp: [10, 0.1]}}")

    def theta(
        self, logits: Parameters, alive: Alive, progress: Progress, generator: torch.Generator
    ) -> Relaxed:
        """See ``raynas.differentiable.slots.Relaxation``."""
        tau = value(self.tau, progress)
        soft = {
            kind: masked_softmax((rows + _noise(rows, generator)) / tau, alive[kind])
            for kind, rows in logits.items()
        }
        chosen = _greatest(soft, alive)
        # written so that the values are 0 and 1 to the last bit
        theta = {kind: chosen[kind] + (rows - rows.detach()) for kind, rows in soft.items()}
        return Relaxed(theta, _computed(chosen), dead_as_numbers=True)

    def evaluated(
        self, logits: Parameters, alive: Alive, progress: Progress, generator: torch.Generator
    ) -> Relaxed:
        """The weights of an evaluation."""
        if self.evaluate == "sample":
            return self.theta(logits, alive, progress, generator)
        soft = {kind: masked_softmax(rows, alive[kind]) for kind, rows in logits.items()}
        if self.evaluate == "softmax":
            return Relaxed(soft)
        chosen = _greatest(soft, alive)
        return Relaxed(chosen, _computed(chosen))


def _noise(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel numbers, drawn again where one is not finite."""
    while True:
        waits = torch.empty(rows.shape, dtype=torch.float64).exponential_(generator=generator)
        noise = -waits.log()
        if noise.isfinite().all():
            return noise.to(rows)


def _greatest(weights: Parameters, alive: Alive) -> dict[str, Tensor]:
    """One-hot rows; zeros where nothing is alive."""
    return {
        kind: torch.nn.functional.one_hot(rows.argmax(-1), rows.shape[-1]).to(rows)
        * torch.tensor(alive[kind], device=rows.device)
        for kind, rows in weights.items()
    }


def _computed(chosen: Parameters) -> Alive:
    return {kind: rows.bool().cpu().numpy() for kind, rows in chosen.items()}
