"""The supernet of NAS-Bench-201 (Dong and Yang, ICLR 2020): its network, with all candidates on every edge.

Mixing weights are shared by all cells, or given for each. Batch norms inside cells have no weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.ranges import require_positive
from raynas.spaces import SearchSpace
from raynas.supernets.initialization import materialize
from raynas.supernets.layout import Layout
from raynas.supernets.mixed_edge import BuildEdge, EdgeMixing, EdgeShape, EdgeWrapper, edge_builder
from raynas.supernets.mixing import Mixing, edge_mixings
from raynas.supernets.nas_bench_201 import ReductionBlock, head, stem
from raynas.supernets.supernet import Supernet


@dataclass(frozen=True)
class NasBench201:
    """Stages of equal cells, with a residual block between two that halves the image and doubles the width.

    Attributes:
        channels: Channels of the first stage.
        cells: Cells a stage.
        stages: Stages.
    """

    channels: int = 16
    cells: int = 5
    stages: int = 3

    def __post_init__(self) -> None:
        require_positive(channels=self.channels, cells=self.cells, stages=self.stages)

    def supernet(
        self,
        space: SearchSpace,
        *,
        in_channels: int,
        n_classes: int,
        generator: torch.Generator,
        wrappers: Sequence[EdgeWrapper] = (),
    ) -> Supernet:
        """A supernet with fresh weights, on the CPU.

        Args:
            space: One of NAS-Bench-201's kind.
            in_channels: Channels of the images.
            n_classes: Number of logits.
            generator: A CPU generator, which the weights are drawn from.
            wrappers: Around every edge, the first outermost.
        """
        return _Supernet(self, space, in_channels, n_classes, edge_builder(wrappers), generator)


class _Supernet(Supernet):
    def __init__(
        self,
        skeleton: NasBench201,
        space: SearchSpace,
        in_channels: int,
        n_classes: int,
        build: BuildEdge,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.layout = Layout(space)
        with torch.device("meta"):
            self.stem = stem(in_channels, skeleton.channels)
            self.body = nn.ModuleList()
            for stage in range(skeleton.stages):
                width = skeleton.channels * 2**stage
                if stage:
                    self.body.append(ReductionBlock(width // 2, width))
                self.body.extend(_Cell(self.layout, width, build) for _ in range(skeleton.cells))
            self.head = head(width, n_classes)
        self._n_cells = skeleton.cells * skeleton.stages
        materialize(self, generator)

    @property
    def n_cells(self) -> Mapping[str, int]:
        return {self.layout.kinds[0]: self._n_cells}

    def forward(self, images: Tensor, mixing: Mixing) -> Tensor:
        kind = self.layout.kinds[0]
        of_cells = iter(edge_mixings(mixing, kind, self._n_cells))
        edge_weights = mixing.edge_weights[kind].unbind() if kind in mixing.edge_weights else None
        x = self.stem(images)
        for block in self.body:
            x = block(x, next(of_cells), edge_weights) if isinstance(block, _Cell) else block(x)
        logits: Tensor = self.head(x)
        return logits


class _Cell(nn.Module):
    def __init__(self, layout: Layout, channels: int, build: BuildEdge) -> None:
        super().__init__()
        kind = layout.kinds[0]
        edges = layout.edges[kind]
        self._ends = [(edge.target, edge.source) for edge in edges]
        self._n_nodes = 1 + max(edge.target for edge in edges)
        self.edges = nn.ModuleList(
            build(EdgeShape(layout.names(kind, row), channels)) for row in range(len(edges))
        )

    def forward(
        self, x: Tensor, mixing: Sequence[EdgeMixing], edge_weights: Sequence[Tensor] | None
    ) -> Tensor:
        nodes: list[Tensor | None] = [x] + [None] * (self._n_nodes - 1)
        for row, ((target, source), edge) in enumerate(zip(self._ends, self.edges, strict=True)):
            value = nodes[source]
            if value is None:
                value = torch.zeros_like(x)
            term = edge(value, mixing[row])
            if term is None:
                continue
            if edge_weights is not None:
                term = edge_weights[row] * term
            before = nodes[target]
            nodes[target] = term if before is None else before + term
        output = nodes[-1]
        return torch.zeros_like(x) if output is None else output
