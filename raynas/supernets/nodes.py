"""The nodes of a cell: each sums what its edges make of the nodes before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def node_values(
    inputs: Sequence[Tensor],
    ends: Sequence[tuple[int, int]],
    term: Callable[[int, Tensor], Tensor | None],
    *,
    stride: int = 1,
) -> list[Tensor]:
    """Values of all nodes of a cell, the inputs first.

    A node to which nothing is added is zeros.

    Args:
        inputs: ``(n, channels, H, W)`` values of the first nodes.
        ends: (target, source) of every edge, ordered by target.
        term: What an edge, by its position in ``ends``, makes of its source's value; None stands for zeros.
        stride: Of the edges that leave the inputs; with 2 all other nodes have half the inputs' side, rounded
            up.
    """
    n_nodes = 1 + max(target for target, _ in ends)
    sums: list[Tensor | None] = [*inputs, *[None] * (n_nodes - len(inputs))]

    def value(node: int) -> Tensor:
        found = sums[node]
        return torch.zeros_like(inputs[0][:, :, ::stride, ::stride]) if found is None else found

    for position, (target, source) in enumerate(ends):
        added = term(position, value(source))
        if added is not None:
            before = sums[target]
            sums[target] = added if before is None else before + added
    return [value(node) for node in range(n_nodes)]
