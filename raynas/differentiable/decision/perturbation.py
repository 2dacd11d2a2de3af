"""What a supernet can least do without (DARTS-PT; Wang et al., ICLR 2021, Sec. 4).

After the search, edge by edge, the operation stays without which the supernet is worst on the validation
split; between two edges it is tuned. In the DARTS family the edges into each node are then chosen in the same
way, by a second decision in the list, ``{name: perturbation, target: inputs}``. Both measure with each
batch's own statistics and renormalise nothing.

As in the released code, the edges into a node are ranked each by the supernet without it alone; with
``accumulate`` those that are already gone are left out, too. Each is evaluated once, where that code repeats
the same evaluation for every edge that goes.

Departure: ``none`` is no candidate where no architecture may have it, as in DARTS; the released code runs on
spaces without it, and on NAS-Bench-201, where it is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from raynas import seeding
from raynas.differentiable.decision._masking import Criterion, Masked, most_missed
from raynas.differentiable.derivation import INPUTS
from raynas.differentiable.slots import Moment, Narrowing
from raynas.ranges import require_positive
from raynas.spaces import SearchSpace
from raynas.supernets.layout import Layout


@dataclass(frozen=True)
class Perturbation:
    """One edge, or one node, of every kind of cell at a time, with tuning in between.

    Attributes:
        target: ``operations`` leaves one on every edge; ``inputs`` leaves two edges into every node.
        tune_epochs: Epochs of tuning from one to the next.
        order: Which edge or node is next: drawn at ``random``, or the ``first`` in the space's order.
        criterion: Whether the supernet is worst that has the lowest accuracy or the highest loss.
        accumulate: Whether an edge is ranked with those out that the same node has already lost.
    """

    neutral: ClassVar[Mapping[str, Any]] = {}

    target: Literal["operations", "inputs"] = "operations"
    tune_epochs: int = 5
    order: Literal["random", "first"] = "random"
    criterion: Criterion = "acc"
    accumulate: bool = False

    def __post_init__(self) -> None:
        require_positive(tune_epochs=self.tune_epochs)
        if self.accumulate and self.target == "operations":
            raise ValueError("accumulate: is for target: inputs; leave it out")

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a search space, as (field, message)."""
        if self.target == "inputs" and space.kind != "darts":
            yield (
                "target",
                f"the cells of {space.name} use every edge, so no inputs are chosen; use operations alone",
            )

    def tuning_epochs(self, layout: Layout) -> int:
        """Epochs of tuning; the last choice is made at the start of the last of them.

        Only for the operations of the DARTS family is it followed by as many epochs as every other, since the
        choice of the inputs comes next: 70 epochs and 11 (81 in all), and 25 on NAS-Bench-201, as in the
        released code.
        """
        n = self._rounds(layout)
        if self.target == "inputs":
            return (n - 1) * self.tune_epochs + 1 if n else 0
        if layout.space.kind == "darts":
            return n * self.tune_epochs
        return max(n, (n - 1) * self.tune_epochs)

    def narrowed(self, moment: Moment) -> Narrowing | None:
        """See ``raynas.differentiable.slots.Decision``."""
        if moment.tuning not in self._starts(moment.layout):
            return None
        before = masked = Masked.at(moment)
        choose = self._operation if self.target == "operations" else self._inputs
        for kind in moment.layout.kinds:  # one after the other: the second is judged with the first decided
            masked = choose(masked, kind, moment)
        return None if masked is before else Narrowing(masked.alive)

    def _rounds(self, layout: Layout) -> int:
        if self.target == "operations":
            return max(len(edges) for edges in layout.edges.values())
        return max(len(_crowded(layout, kind, layout.selectable()[kind])) for kind in layout.kinds)

    def _starts(self, layout: Layout) -> list[int]:
        """Epochs of tuning at whose start something is chosen."""
        last = self.tuning_epochs(layout) - 1
        return [min(number * self.tune_epochs, last) for number in range(self._rounds(layout))]

    def _next(self, choices: list[int], kind: str, moment: Moment) -> int:
        if self.order == "first":
            return choices[0]
        return int(seeding.generator(moment.seed, "perturbation", kind).choice(choices))

    def _operation(self, masked: Masked, kind: str, moment: Moment) -> Masked:
        candidates = masked.alive[kind] & moment.layout.selectable()[kind]
        undecided = np.flatnonzero((masked.alive[kind].sum(1) > 1) & candidates.any(1)).tolist()
        if not undecided:
            return masked
        row = self._next(undecided, kind, moment)
        columns = np.flatnonzero(candidates[row]).tolist()
        kept = most_missed(masked, kind, row, columns, moment.evaluate, self.criterion)
        return masked.decided(kind, row, kept)

    def _inputs(self, masked: Masked, kind: str, moment: Moment) -> Masked:
        nodes = _crowded(moment.layout, kind, masked.alive[kind] & moment.layout.selectable()[kind])
        if not nodes:
            return masked
        rows = nodes[self._next(list(nodes), kind, moment)]
        ranked_in = masked
        harms: dict[int, float] = {}
        while len(rows) > INPUTS:
            if not harms or self.accumulate:
                harms = {
                    row: ranked_in.without(kind, row).harm(moment.evaluate, self.criterion) for row in rows
                }
            gone = min(rows, key=lambda row: (harms[row], -row))  # of equal ones the last
            rows = [row for row in rows if row != gone]
            masked = masked.without(kind, gone)
            if self.accumulate:
                ranked_in = masked
        return masked


def _crowded(layout: Layout, kind: str, candidates: NDArray[np.bool_]) -> dict[int, list[int]]:
    """Nodes with more inputs than they keep, and the rows of these."""
    rows: dict[int, list[int]] = {}
    for row, edge in enumerate(layout.edges[kind]):
        if candidates[row].any():
            rows.setdefault(edge.target, []).append(row)
    return {node: found for node, found in rows.items() if len(found) > INPUTS}
