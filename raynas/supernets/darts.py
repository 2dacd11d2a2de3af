"""Discrete networks of the DARTS space (Liu et al., ICLR 2019, Sec. 3.3), as they are trained from scratch.

Unlike in the supernet, batch norms have weights and pools are not followed by one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raynas.spaces import Architecture, get_space
from raynas.spaces.architecture import ABSENT
from raynas.supernets import draws
from raynas.supernets.darts_frame import AuxiliaryTower, CellInputs, head, stem_of
from raynas.supernets.darts_shape import (
    N_INPUTS,
    CellShape,
    StemName,
    auxiliary_layer,
    cell_shapes,
    intermediate_nodes,
)
from raynas.supernets.initialization import materialize
from raynas.supernets.nodes import node_values
from raynas.supernets.operations import Zero, operation


class DartsNetwork(nn.Module):
    """Stem; cells, of which two halve the image; head; in training, if asked for, an auxiliary tower.

    Weights are drawn in the order of the layers, the tower's last, so that it changes no others.

    Args:
        architecture: The cells, of a space of DARTS's kind.
        channels: Channels of a node before the first reduction.
        layers: Cells, 3 or more; 20 on CIFAR and 14 on ImageNet.
        stem: ``cifar`` keeps the image's size, ``imagenet`` brings it to an eighth.
        auxiliary: Whether there is an auxiliary tower, of the form that belongs to the stem.
        in_channels: Channels of the images.
        n_classes: Number of logits.
        generator: A CPU generator, which the weights are drawn from; the global random state is not touched.

    Raises:
        InputError: The architecture is not one of DARTS-like cells, or there are too few layers or channels.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        channels: int = 36,
        layers: int = 20,
        stem: StemName = "cifar",
        auxiliary: bool = False,
        in_channels: int = 3,
        n_classes: int = 10,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_nodes = intermediate_nodes(get_space(architecture.space))
        shapes = cell_shapes(channels=channels, layers=layers, n_nodes=n_nodes, stem=stem)
        edges = _edges(architecture)
        self._auxiliary_layer = auxiliary_layer(layers)
        with torch.device("meta"):
            self.stem = stem_of(stem, in_channels, channels)
            self.cells = nn.ModuleList(_Cell(shape, edges[shape.kind]) for shape in shapes)
            self.head = head(n_nodes * shapes[-1].channels, n_classes)
            self.auxiliary = (
                AuxiliaryTower(
                    n_nodes * shapes[self._auxiliary_layer].channels, n_classes, last_norm=stem == "cifar"
                )
                if auxiliary
                else None
            )
        materialize(self, generator)

    def forward(self, images: Tensor, *, drop_path: float = 0.0) -> Tensor:
        """Logits; the auxiliary tower is left out.

        Args:
            images: ``(n, in_channels, H, W)``.
            drop_path: Probability, in training mode, that an operation's output is dropped from an image; an
                identity's never is. ``raynas.supernets.draws`` says where the draws come from.

        Returns:
            ``(n, n_classes)``.
        """
        logits: Tensor = self.head(self._maps(images, drop_path)[-1])
        return logits

    def with_auxiliary(self, images: Tensor, *, drop_path: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Logits, and in training mode the auxiliary tower's if there is one; arguments as of ``forward``."""
        read_by_tower, last = self._maps(images, drop_path)
        tower = self.auxiliary if self.training else None
        return self.head(last), None if tower is None else tower(read_by_tower)

    def _maps(self, images: Tensor, drop_path: float) -> tuple[Tensor, Tensor]:
        probability = drop_path if self.training else 0.0
        before_last, last = self.stem(images)
        for layer, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last, probability)
            if layer == self._auxiliary_layer:
                read_by_tower = last
        return read_by_tower, last


class _Cell(nn.Module):
    def __init__(self, shape: CellShape, edges: list[tuple[int, int, str]]) -> None:
        super().__init__()
        self._stride = shape.stride
        self._ends = [(target, source) for target, source, _ in edges]
        self.inputs = CellInputs(shape, affine=True)
        self.edges = nn.ModuleList(
            operation(name, shape.channels, stride=shape.stride if source < N_INPUTS else 1)
            for _, source, name in edges
        )

    def forward(self, before_last: Tensor, last: Tensor, probability: float) -> Tensor:
        def term(position: int, x: Tensor) -> Tensor | None:
            edge = self.edges[position]
            if isinstance(edge, Zero):
                return None
            made: Tensor = edge(x)
            return made if isinstance(edge, nn.Identity) else draws.drop_path(made, probability)

        nodes = node_values(self.inputs(before_last, last), self._ends, term, stride=self._stride)
        return torch.cat(nodes[N_INPUTS:], dim=1)


def _edges(architecture: Architecture) -> dict[str, list[tuple[int, int, str]]]:
    """For each kind of cell, (target, source, operation) of the edges that the architecture has."""
    space = get_space(architecture.space)
    found: dict[str, list[tuple[int, int, str]]] = {}
    for edge, index in zip(space.edges, space.architecture(architecture.ops).ops, strict=True):
        if index != ABSENT:
            found.setdefault(edge.cell, []).append((edge.target, edge.source, space.operations[index]))
    return found
