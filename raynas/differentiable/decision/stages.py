"""A search in stages, each with fewer operations and wider ones (DrNAS; Chen et al., ICLR 2021, Sec. 3.4).

At the end of a stage every edge keeps its operations of greatest logits; partial channels
(``mixed_op: [partial_channels]``) widen; and the architecture parameters rest for the first epochs of the
next. DrNAS on NAS-Bench-201: ``epochs: [50], keep: [3], k: [2]`` in 100 epochs, from 5 operations and
``k: 4``; in the DARTS space ``epochs: [25], keep: [4], k: [4]`` in 50, from 7 and ``k: 6``. How long the
parameters rest in the first stage is the search's own ``warmup_epochs``.

Departure: of the operations kept, one may be part of an architecture (in DARTS ``none`` may not).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from raynas.differentiable.mixed_op.partial_channels import PartialChannels
from raynas.differentiable.parameters import logits
from raynas.differentiable.slots import Moment, Narrowing
from raynas.supernets.layout import Layout

if TYPE_CHECKING:
    from raynas.differentiable.method import Method


@dataclass(frozen=True)
class Stages:
    """Pruning and widening after given epochs.

    Attributes:
        epochs: For every stage but the last, how many epochs of the search are over when it ends.
        keep: For each of these, how many operations stay on an edge.
        k: For each of these, of how many channels one is given to the operations from then on; empty: as
            they are.
        warmup: Epochs at the beginning of a later stage in which the architecture parameters rest.
    """

    neutral: ClassVar[Mapping[str, Any]] = {}

    epochs: tuple[int, ...] = (50,)
    keep: tuple[int, ...] = (3,)
    k: tuple[int, ...] = ()
    warmup: int = 10

    def __post_init__(self) -> None:
        if not self.epochs or min(self.epochs) < 1 or list(self.epochs) != sorted(set(self.epochs)):
            raise ValueError(f"epochs: {list(self.epochs)} do not rise from 1 or more; give [25] or [25, 50]")
        for name in ("keep", "k"):
            given = getattr(self, name)
            if len(given) != len(self.epochs) and (given or name == "keep"):
                raise ValueError(
                    f"{name}: {list(given)} has {len(given)} stages; epochs has {len(self.epochs)}"
                )
            if any(number < 1 for number in given) or list(given) != sorted(given, reverse=True):
                raise ValueError(f"{name}: {list(given)} does not fall, to 1 or more, from stage to stage")
        if self.warmup < 0:
            raise ValueError(f"warmup: {self.warmup} is negative; give 0 for none")

    def method_problems(self, method: Method) -> Iterator[tuple[str, str]]:
        """What cannot work beside the rest of a search, as (field, message)."""
        if self.epochs[-1] >= method.epochs:
            yield (
                "epochs",
                f"a stage that ends after {self.epochs[-1]} has none after it in a search of {method.epochs};"
                " give fewer, or raise method.epochs",
            )
        partial = [part.k for part in method.mixed_op if isinstance(part, PartialChannels) and part.k > 1]
        if self.k and not partial:
            yield (
                "k",
                "no edge has partial channels to widen; add mixed_op: [partial_channels], or leave it out",
            )
        elif self.k and self.k[0] > partial[0]:
            yield "k", f"{self.k[0]} is more than partial_channels' {partial[0]}; channels can only be added"

    def width_problems(self, channels: int) -> Iterator[tuple[str, str]]:
        """What cannot work with cells of a width; see ``PartialChannels.width_problems``."""
        for k in self.k:
            yield from PartialChannels(k).width_problems(channels)

    def tuning_epochs(self, layout: Layout) -> int:
        """See ``raynas.differentiable.slots.Decision``."""
        return 0

    def narrowed(self, moment: Moment) -> Narrowing | None:
        """See ``raynas.differentiable.slots.Decision``."""
        if moment.tuning is not None or moment.epoch not in self.epochs:
            return None
        stage = self.epochs.index(moment.epoch)
        selectable = moment.layout.selectable()
        alive = {
            kind: _greatest(
                rows.detach().cpu().numpy(), moment.alive[kind], selectable[kind], self.keep[stage]
            )
            for kind, rows in logits(moment.alpha).items()
        }
        k = self.k[stage] if self.k else None
        return Narrowing(alive, channels_divisor=k, rest_epochs=self.warmup)


def _greatest(
    rows: NDArray[np.floating], alive: NDArray[np.bool_], selectable: NDArray[np.bool_], n: int
) -> NDArray[np.bool_]:
    """The ``n`` operations of greatest logits of each edge; of equal ones the first."""
    kept = np.zeros_like(alive)
    for row, columns in enumerate(alive):
        order = sorted(np.flatnonzero(columns).tolist(), key=lambda column: -rows[row, column])
        best = next((column for column in order if selectable[row, column]), None)
        order.sort(key=lambda column: column != best)
        kept[row, order[:n]] = True
    return kept
