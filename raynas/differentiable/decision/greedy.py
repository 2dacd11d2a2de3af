"""Edges decided one after another during the search (SGAS; Li et al., CVPR 2020, Sec. 3.2).

At the end of chosen epochs one edge of every kind of cell takes one operation for good: the edge that matters
most, is most certain and, by criterion 2, most stable. In the DARTS family a node that has two decided edges
loses its others. The last decision is followed by five epochs: 50 on DARTS, 40 on NAS-Bench-201.

With ``operation: perturbation`` the operation is the one that the supernet misses most (SGAS-PT; Wang et al.,
ICLR 2021).

As in the released code, all edges enter the normalisation of the scores, with the softmax of all their
logits, decided and pruned ones as well. Not in the paper: NAS-Bench-201, whose cells keep every edge, and
where ``none`` is chosen only if ``none_below`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from raynas.differentiable.decision._masking import Masked, most_missed
from raynas.differentiable.derivation import INPUTS
from raynas.differentiable.parameters import logits
from raynas.differentiable.relaxation.softmax import masked_softmax
from raynas.differentiable.slots import Moment, Narrowing
from raynas.ranges import require_positive
from raynas.spaces import SearchSpace
from raynas.supernets.layout import Layout

if TYPE_CHECKING:
    from raynas.differentiable.method import Method


@dataclass(frozen=True)
class Greedy:
    """One edge of every kind of cell at a time.

    Attributes:
        criterion: 1: importance times certainty; 2: times stability.
        warmup: First epoch, counted from 0, at whose end an edge is decided.
        interval: Epochs from one decision to the next.
        history: Epochs that stability looks back to.
        batch_size_step: By how many images batches grow with every decision.
        operation: What the edge takes: the operation of greatest weight, or the one that is missed most.
        none_below: Importance, the weight of all operations but ``none``, below which an edge becomes
            ``none``; 0 for never, 0.5 where ``none`` outweighs the rest.
    """

    neutral: ClassVar[Mapping[str, Any]] = {}

    criterion: Literal[1, 2] = 1
    warmup: int = 9
    interval: int = 5
    history: int = 4
    batch_size_step: int = 8
    operation: Literal["magnitude", "perturbation"] = "magnitude"
    none_below: float = 0.0

    def __post_init__(self) -> None:
        require_positive(interval=self.interval, history=self.history)
        for name in ("warmup", "batch_size_step"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative; give 0 or more")
        if not 0 <= self.none_below <= 1:
            raise ValueError(f"none_below: {self.none_below} is outside [0, 1]; give 0 for never")

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a search space, as (field, message)."""
        layout = Layout(space)
        none, selectable = layout.columns_of("none"), layout.selectable()
        if not all(rows.any(1).all() for rows in none.values()):
            yield (
                "criterion",
                f"edges are compared by the weight of 'none', which {space.name} lacks; choose a space "
                "with it, such as darts or nas_bench_201",
            )
        elif self.none_below > 0 and not any((none[kind] & selectable[kind]).any() for kind in layout.kinds):
            yield "none_below", f"no architecture of {space.name} has 'none'; leave it out"

    def method_problems(self, method: Method) -> Iterator[tuple[str, str]]:
        """What cannot work beside the rest of a search, as (field, message)."""
        if self.warmup >= method.epochs:
            yield (
                "warmup",
                f"{self.warmup} epochs are the whole search of {method.epochs}, so no edge would be decided; "
                "give fewer, or raise method.epochs",
            )

    def tuning_epochs(self, layout: Layout) -> int:
        """See ``raynas.differentiable.slots.Decision``."""
        return 0

    def narrowed(self, moment: Moment) -> Narrowing | None:
        """See ``raynas.differentiable.slots.Decision``."""
        if moment.tuning is not None:
            return None
        edges = {kind: Edges.of(moment, kind) for kind in moment.layout.kinds}
        memory = self._memory(edges, moment.memory) if self.criterion == 2 else {}
        before = masked = Masked.at(moment)
        if self._decides_after(moment.epoch - 1):
            for kind in moment.layout.kinds:
                scores = self._scores(edges[kind], moment.memory.get(kind, ()))
                masked = self._decided(masked, kind, edges[kind], scores, moment)
        if masked is not before:
            return Narrowing(masked.alive, memory, self.batch_size_step)
        return Narrowing(moment.alive, memory) if memory else None

    def _decides_after(self, epoch: int) -> bool:
        return epoch >= self.warmup and (epoch - self.warmup) % self.interval == 0

    def _memory(self, edges: Mapping[str, Edges], memory: Mapping[str, Any]) -> dict[str, list[Tensor]]:
        """The last epochs' weights of operations, by kind."""
        return {kind: [*memory.get(kind, ()), one.shares][-self.history :] for kind, one in edges.items()}

    def _scores(self, edges: Edges, history: Any) -> Tensor:
        scores = _normalized(edges.importance) * _normalized(edges.certainty)
        return scores if self.criterion == 1 else scores * _normalized(edges.stability(history))

    def _decided(self, masked: Masked, kind: str, edges: Edges, scores: Tensor, moment: Moment) -> Masked:
        undecided = masked.alive[kind].sum(1) > 1
        if not undecided.any():
            return masked
        row = int(np.where(undecided, scores.numpy(), -np.inf).argmax())
        masked = masked.decided(kind, row, self._operation(masked, kind, row, edges, moment))
        if moment.layout.space.kind != "darts":
            return masked
        targets = np.array([edge.target for edge in moment.layout.edges[kind]])
        into = targets == targets[row]
        if (masked.alive[kind].sum(1)[into] == 1).sum() >= INPUTS:
            for other in np.flatnonzero(into & (masked.alive[kind].sum(1) > 1)).tolist():
                masked = masked.without(kind, other)
        return masked

    def _operation(self, masked: Masked, kind: str, row: int, edges: Edges, moment: Moment) -> int:
        alive = masked.alive[kind][row] & moment.layout.selectable()[kind][row]
        none = moment.layout.columns_of("none")[kind][row]
        if (alive & none).any() and float(edges.importance[row]) < self.none_below:
            return int((alive & none).argmax())
        columns = np.flatnonzero(alive & ~none).tolist()
        if self.operation == "perturbation":
            return most_missed(masked, kind, row, columns, moment.evaluate, "acc")
        return max(columns, key=lambda column: float(edges.shares[row, column]))


@dataclass(frozen=True, eq=False)
class Edges:
    """How the edges of a kind of cell stand.

    Attributes:
        importance: ``(edges,)`` weight of all operations but ``none``.
        shares: ``(edges, columns)`` weights of these, divided by their sum.
        certainty: ``(edges,)`` 1 less their entropy over its greatest value.
    """

    importance: Tensor
    shares: Tensor
    certainty: Tensor

    @staticmethod
    def of(moment: Moment, kind: str) -> Edges:
        """By the softmax of the logits."""
        rows = logits(moment.alpha)[kind].detach().double().cpu()
        candidates = moment.layout.all_alive()[kind]
        others = candidates & ~moment.layout.columns_of("none")[kind]
        importance = (masked_softmax(rows, candidates) * torch.as_tensor(others)).sum(1)
        shares = masked_softmax(rows, others)
        greatest = torch.as_tensor(others.sum(1)).double().log()
        entropy = -torch.xlogy(shares, shares).sum(1)
        # one operation alone leaves no doubt
        certainty = torch.where(greatest > 0, 1 - entropy / greatest, 1.0)
        return Edges(importance, shares, certainty)

    def stability(self, history: Any) -> Tensor:
        """``(edges,)`` mean histogram intersection with the weights of earlier epochs; 0 without any."""
        if not history:
            return torch.zeros_like(self.importance)
        common = [torch.minimum(earlier, self.shares).sum(1) for earlier in history]
        return torch.stack(common).mean(0)


def _normalized(values: Tensor) -> Tensor:
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low) or high == low:
        return torch.zeros_like(values)
    return (values - low) / (high - low)
