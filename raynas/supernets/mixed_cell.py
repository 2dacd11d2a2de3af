"""A cell of a supernet: a mixed edge for every pair of nodes that the search space joins."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from raynas.supernets.fusion import fused_values, fusible
from raynas.supernets.layout import Layout
from raynas.supernets.mixed_edge import BuildEdge, EdgeMixing, EdgeShape
from raynas.supernets.nodes import node_values


class MixedCell(nn.Module):
    """All edges of one kind of cell, the rows of its mixing weights in order.

    Args:
        layout: Of the search space.
        kind: Which cell of it.
        build: Makes an edge.
        channels: Channels of every node.
        n_inputs: How many of the nodes, the first, are given.
        stride: Of the edges that leave these.
        pool_norm: Whether a pool is followed by batch norm.
        affine: Whether batch norms have weights.

    Attributes:
        kind: Which cell of the search space it is.
        channels: Channels of every node.
    """

    def __init__(
        self,
        layout: Layout,
        kind: str,
        build: BuildEdge,
        *,
        channels: int,
        n_inputs: int = 1,
        stride: int = 1,
        pool_norm: bool = False,
        affine: bool = False,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.channels = channels
        self._stride = stride
        self._ends = [(edge.target, edge.source) for edge in layout.edges[kind]]
        self.edges = nn.ModuleList()
        for row, (_, source) in enumerate(self._ends):
            strides = stride if source < n_inputs else 1
            names = layout.names(kind, row)
            self.edges.append(
                build(EdgeShape(names, channels, stride=strides, pool_norm=pool_norm, affine=affine))
            )
        self._fusible = n_inputs == 1 and fusible(list(self.edges))

    @property
    def reads_progress(self) -> bool:
        """Whether an edge hangs on how far the search is; one that does not say is taken to."""
        return any(getattr(edge, "reads_progress", True) for edge in self.edges)

    def forward(
        self, inputs: Sequence[Tensor], mixing: Sequence[EdgeMixing], edge_weights: Sequence[Tensor] | None
    ) -> list[Tensor]:
        """Values of all nodes.

        Args:
            inputs: ``(n, channels, H, W)`` values of the first nodes.
            mixing: One a row.
            edge_weights: For each row a number, of no dimensions, by which the edge's output is multiplied;
                None: 1.
        """
        if self._fusible and not any(one.dead_as_numbers for one in mixing):
            return fused_values(list(self.edges), self._ends, inputs[0], mixing, edge_weights)  # type: ignore[arg-type]

        def term(row: int, x: Tensor) -> Tensor | None:
            made: Tensor | None = self.edges[row](x, mixing[row])
            return made if made is None or edge_weights is None else edge_weights[row] * made

        return node_values(inputs, self._ends, term, stride=self._stride)
