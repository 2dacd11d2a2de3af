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
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixed_edge import BuildEdge, EdgeWrapper, edge_builder
from raynas.supernets.mixing import Mixing, edge_mixings
from raynas.supernets.nas_bench_201 import ReductionBlock, head, require_cells, stem
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

        Raises:
            InputError: The space is of another kind.
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
        require_cells(space)
        self.layout = Layout(space)
        kind = self.layout.kinds[0]
        with torch.device("meta"):
            self.stem = stem(in_channels, skeleton.channels)
            self.body = nn.ModuleList()
            for stage in range(skeleton.stages):
                width = skeleton.channels * 2**stage
                if stage:
                    self.body.append(ReductionBlock(width // 2, width))
                self.body.extend(
                    MixedCell(self.layout, kind, build, channels=width) for _ in range(skeleton.cells)
                )
            self.head = head(width, n_classes)
        self._n_cells = skeleton.cells * skeleton.stages
        materialize(self, generator)

    @property
    def n_cells(self) -> Mapping[str, int]:
        return {self.layout.kinds[0]: self._n_cells}

    @property
    def reads_progress(self) -> bool:
        return any(part.reads_progress for part in self.modules() if isinstance(part, MixedCell))

    def forward(self, images: Tensor, mixing: Mixing) -> Tensor:
        kind = self.layout.kinds[0]
        of_cells = iter(edge_mixings(mixing, kind, self._n_cells))
        edge_weights = mixing.edge_weights[kind].unbind() if kind in mixing.edge_weights else None
        x = self.stem(images)
        for block in self.body:
            is_cell = isinstance(block, MixedCell)
            x = block((x,), next(of_cells), edge_weights)[-1] if is_cell else block(x)
        logits: Tensor = self.head(x)
        return logits
