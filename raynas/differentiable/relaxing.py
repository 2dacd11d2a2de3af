"""Architecture parameters into everything that a supernet is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raynas.differentiable.objective import Move
from raynas.differentiable.parameters import Parameters, edge_logits, edges_of, logits
from raynas.differentiable.schedule import Progress
from raynas.differentiable.slots import Relaxation, Relaxed
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixing import Mixing, Theta


@dataclass(frozen=True)
class Relaxer:
    """A relaxation at work.

    Attributes:
        relaxation: The component.
        layout: Of the supernet.
    """

    relaxation: Relaxation
    layout: Layout

    def mixing(
        self,
        alpha: Parameters,
        alive: Alive,
        progress: Progress,
        generator: torch.Generator,
        *,
        move: Move | None = None,
        evaluating: bool = False,
    ) -> Mixing:
        """Mixing weights with a graph to the parameters.

        Args:
            alpha: Architecture parameters.
            alive: What still counts.
            progress: How far the search is.
            generator: Of the relaxation's draw.
            move: Applied to the relaxation's weights.
            evaluating: Whether they are for an evaluation, for relaxations to which that makes a difference.
        """
        relax = self.relaxation.theta
        if evaluating:
            relax = getattr(self.relaxation, "evaluated", relax)
        relaxed: Relaxed = relax(logits(alpha), alive, progress, generator)
        return Mixing(
            relaxed.theta if move is None else move(relaxed.theta),
            alive if relaxed.alive is None else relaxed.alive,
            self.edge_weights(alpha),
            progress.fraction,
            relaxed.dead_as_numbers,
        )

    def edge_weights(self, alpha: Parameters) -> dict[str, Tensor]:
        """For each kind whose edges have parameters, their softmax over the edges into each node."""
        return {kind: self._normalized(kind, numbers) for kind, numbers in edge_logits(alpha).items()}

    def _normalized(self, kind: str, numbers: Tensor) -> Tensor:
        targets = [edge.target for edge in self.layout.edges[kind]]
        nodes = sorted(set(targets))
        parts = [numbers[[row for row, of in enumerate(targets) if of == node]] for node in nodes]
        return torch.cat([torch.softmax(part, 0) for part in parts])  # edges are ordered by target


def initial(
    layout: Layout, *, scale: float, edges: bool, generator: torch.Generator, device: str
) -> dict[str, Tensor]:
    """Architecture parameters at the beginning: normal around 0.

    Args:
        layout: Of the supernet.
        scale: Standard deviation.
        edges: Whether edges have parameters, too.
        generator: A CPU generator.
        device: Where they are to lie.
    """
    shapes: dict[str, tuple[int, ...]] = {
        kind: (len(rows), layout.n_columns) for kind, rows in layout.edges.items()
    }
    if edges:
        shapes |= {edges_of(kind): (len(rows),) for kind, rows in layout.edges.items()}
    return {
        name: (scale * torch.randn(shape, generator=generator)).to(device) for name, shape in shapes.items()
    }


def with_edges(theta: Theta, edge_weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mixing weights with those of edges multiplied in, as architectures are derived by."""
    return {
        kind: rows * edge_weights[kind][:, None] if kind in edge_weights else rows
        for kind, rows in theta.items()
    }
