"""The supernet of the DARTS space (Liu et al., ICLR 2019): cells with all candidates on all 14 edges.

Mixing weights are shared by the cells of a kind, or given for each. Batch norms inside cells have no weights
unless asked for, as in one-shot search (RLNAS; Zhang et al., CVPR 2021), and pools are followed by one. With
the stem of ImageNet it is the supernet that PC-DARTS (Xu et al., ICLR 2020) searches there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.ranges import require_positive
from raynas.spaces import SearchSpace
from raynas.supernets.darts_frame import CellInputs, head, stem_of
from raynas.supernets.darts_shape import (
    N_INPUTS,
    CellShape,
    StemName,
    cell_shapes,
    intermediate_nodes,
    require_layers,
)
from raynas.supernets.initialization import materialize
from raynas.supernets.layout import Layout
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixed_edge import BuildEdge, EdgeMixing, EdgeWrapper, edge_builder
from raynas.supernets.mixing import Mixing, edge_mixings
from raynas.supernets.supernet import Supernet


@dataclass(frozen=True)
class Darts:
    """A chain of cells, each fed by the two before; two of them halve the image and double the width.

    Attributes:
        channels: Channels of a node before the first reduction.
        layers: Cells, 3 or more.
        stem: ``cifar`` keeps the image's size, ``imagenet`` brings it to an eighth.
        affine: Whether batch norms inside cells have weights.
    """

    channels: int = 16
    layers: int = 8
    stem: StemName = "cifar"
    affine: bool = False

    def __post_init__(self) -> None:
        require_positive(channels=self.channels)
        require_layers(self.layers)

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
            space: One of DARTS's kind.
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
        skeleton: Darts,
        space: SearchSpace,
        in_channels: int,
        n_classes: int,
        build: BuildEdge,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_nodes = intermediate_nodes(space)
        self.layout = Layout(space)
        shapes = cell_shapes(
            channels=skeleton.channels, layers=skeleton.layers, n_nodes=n_nodes, stem=skeleton.stem
        )
        with torch.device("meta"):
            self.stem = stem_of(skeleton.stem, in_channels, skeleton.channels)
            self.cells = nn.ModuleList(
                _Cell(self.layout, shape, build, affine=skeleton.affine) for shape in shapes
            )
            self.head = head(n_nodes * shapes[-1].channels, n_classes)
        self._kinds = [shape.kind for shape in shapes]
        self._n_cells = dict(Counter(self._kinds))
        materialize(self, generator)

    @property
    def n_cells(self) -> Mapping[str, int]:
        return self._n_cells

    @property
    def reads_progress(self) -> bool:
        return any(part.reads_progress for part in self.modules() if isinstance(part, MixedCell))

    def forward(self, images: Tensor, mixing: Mixing) -> Tensor:
        of_cells = {kind: iter(edge_mixings(mixing, kind, n)) for kind, n in self._n_cells.items()}
        edge_weights = {kind: numbers.unbind() for kind, numbers in mixing.edge_weights.items()}
        before_last, last = self.stem(images)
        for kind, cell in zip(self._kinds, self.cells, strict=True):
            made = cell(before_last, last, next(of_cells[kind]), edge_weights.get(kind))
            before_last, last = last, made
        logits: Tensor = self.head(last)
        return logits


class _Cell(nn.Module):
    def __init__(self, layout: Layout, shape: CellShape, build: BuildEdge, *, affine: bool) -> None:
        super().__init__()
        self.inputs = CellInputs(shape, affine=affine)
        self.nodes = MixedCell(
            layout,
            shape.kind,
            build,
            channels=shape.channels,
            n_inputs=N_INPUTS,
            stride=shape.stride,
            pool_norm=True,
            affine=affine,
        )

    def forward(
        self,
        before_last: Tensor,
        last: Tensor,
        mixing: Sequence[EdgeMixing],
        edge_weights: Sequence[Tensor] | None,
    ) -> Tensor:
        nodes = self.nodes(self.inputs(before_last, last), mixing, edge_weights)
        return torch.cat(nodes[N_INPUTS:], dim=1)
