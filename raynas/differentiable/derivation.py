"""The discrete architecture that mixing weights stand for, by magnitude
(DARTS; Liu et al., ICLR 2019, Sec. 2.4).

In a space whose cells use every edge, each edge takes its best operation. In the DARTS family a node keeps
the two of its edges whose best operation weighs most; ``none`` weighs in the softmax and is never chosen. Of
equal ones the first is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raynas.spaces import Architecture
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixing import Theta

INPUTS = 2


def derived(layout: Layout, theta: Theta, alive: Alive) -> Architecture:
    """The architecture of greatest weights.

    Args:
        layout: Of the supernet.
        theta: For each kind ``(edges, columns)`` weights, those of edges multiplied in.
        alive: Which operations still count.
    """
    return layout.architecture(narrowed(layout, theta, alive))


def narrowed(layout: Layout, theta: Theta, alive: Alive) -> dict[str, NDArray[np.bool_]]:
    """The same as rows with one operation or none."""
    selectable = layout.selectable()
    found: dict[str, NDArray[np.bool_]] = {}
    for kind, edges in layout.edges.items():
        weights = theta[kind].detach().double().cpu().numpy()
        possible = alive[kind] & selectable[kind]
        scores = np.where(possible, weights, -np.inf)
        best = scores.argmax(1)
        kept = np.zeros_like(possible)
        rows = np.arange(len(edges))
        kept[rows, best] = possible[rows, best]
        if layout.space.kind == "darts":
            _keep_two_inputs(kept, scores[rows, best], [edge.target for edge in edges])
        found[kind] = kept
    return found


def _keep_two_inputs(kept: NDArray[np.bool_], scores: NDArray[np.float64], targets: list[int]) -> None:
    for target in set(targets):
        rows = [row for row, of in enumerate(targets) if of == target]
        for row in sorted(rows, key=lambda row: -scores[row])[INPUTS:]:
            kept[row] = False
