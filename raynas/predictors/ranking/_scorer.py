"""Networks that score architectures, and the losses of pairs of scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.predictors.ranking.predictor import Loss
from raynas.supernets.initialization import materialize


def pair_loss(margins: Tensor, loss: Loss, *, margin: float) -> Tensor:
    """Mean loss of pairs.

    Args:
        margins: ``(n,)`` score of the winner less score of the loser.
        loss: ``logistic`` is RankNet's (Burges et al., ICML 2005), minus the log of the probability that the
            winner wins; ``hinge`` is zero from ``margin`` on.
        margin: Of the hinge.
    """
    if loss == "logistic":
        return functional.softplus(-margins).mean()
    return functional.relu(margin - margins).mean()


class GinScorer(nn.Module):
    """Graph isomorphism network (Xu et al., ICLR 2019): layers, mean over each cell's nodes, then an MLP.

    Args:
        n_cells: Graphs of one architecture; their mean embeddings are concatenated.
        n_features: Of a node.
        hidden: Width of the layers.
        layers: Their number.
        generator: Draws the first weights.
    """

    def __init__(
        self, n_cells: int, n_features: int, *, hidden: int, layers: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        widths = [n_features] + [hidden] * layers
        with torch.device("meta"):
            self.layers = nn.ModuleList(_GinLayer(n, hidden) for n in widths[:-1])
            self.head = _head(n_cells * hidden, hidden)
        _materialize(self, generator)

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """``(n,)`` scores of ``CellGraphs``."""
        h = features
        for layer in self.layers:
            h = layer(h, adjacency)
        scores: Tensor = self.head(h.mean(dim=-2).flatten(1)).squeeze(1)
        return scores


class MlpScorer(nn.Module):
    """Plain MLP.

    Args:
        n_features: Of an architecture.
        hidden: Width of the two layers before the head.
        generator: Draws the first weights.
    """

    def __init__(self, n_features: int, *, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.device("meta"):
            self.body = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU())
            self.head = _head(hidden, hidden)
        _materialize(self, generator)

    def forward(self, features: Tensor) -> Tensor:
        """``(n,)`` scores of one-hot vectors, ``(n, n_features)``."""
        scores: Tensor = self.head(self.body(features)).squeeze(1)
        return scores


class _GinLayer(nn.Module):
    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.empty(()))
        self.mlp = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        # momentum 1: the statistics kept for scoring are those of the last forward pass in training mode.
        self.norm = nn.BatchNorm1d(hidden, momentum=1.0)

    def forward(self, h: Tensor, adjacency: Tensor) -> Tensor:
        h = self.mlp((1 + self.eps) * h + adjacency @ h)
        return functional.relu(self.norm(h.flatten(0, -2)).view(h.shape))


def _head(n_features: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_features, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden // 2),
        nn.ReLU(),
        nn.Linear(hidden // 2, 1),
    )


def _materialize(module: nn.Module, generator: torch.Generator) -> None:
    module.to_empty(device="cpu")
    for part in module.modules():
        if isinstance(part, nn.Linear):
            materialize(part, generator)
        elif isinstance(part, nn.BatchNorm1d):
            part.reset_parameters()
        elif isinstance(part, _GinLayer):
            nn.init.zeros_(part.eps)
