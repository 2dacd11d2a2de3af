"""Objectives of one alpha-step made of plain functions, with no network."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from raynas.differentiable.objective import Objective
from raynas.differentiable.parameters import logits
from raynas.differentiable.relaxation.softmax import Softmax
from raynas.differentiable.schedule import Progress
from raynas.spaces import get_space
from raynas.supernets.layout import Layout

CELL = Layout(get_space("nas_bench_201"))
"""One kind of cell, called by the empty string: 6 edges of 5 operations."""


def objective_of(function, *, layout=CELL, alive=None, progress=None, seed=0, unrolling=None):
    """The objective whose loss is a function of the parameters, as a dict of tensors; moves are refused."""

    def loss(alpha, move=None):
        assert move is None, "the parameters of a plain function have no mixing weights to move"
        return function(alpha)

    return _objective(loss, layout, alive, progress, seed, unrolling)


def mixing_objective_of(
    function, *, layout=CELL, alive=None, progress=None, seed=0, relaxation=None, unrolling=None
):
    """The objective whose loss is a function of the mixing weights, as a dict of tensors."""
    alive = alive or layout.all_alive()
    progress = progress or Progress(0, 50)
    relaxation = relaxation or Softmax()

    def loss(alpha, move=None):
        generator = torch.Generator().manual_seed(seed)
        theta = relaxation.theta(logits(alpha), alive, progress, generator).theta
        return function(theta if move is None else move(theta))

    return _objective(loss, layout, alive, progress, seed, unrolling)


def _objective(loss, layout, alive, progress, seed, unrolling):
    unroll = None if unrolling is None else lambda: unrolling
    return Objective(
        loss, layout, alive or layout.all_alive(), progress or Progress(0, 50), seed, unroll=unroll
    )


def random_parameters(layout=CELL, *, seed=0, dtype=torch.float64, scale=1.0):
    """Logits of every kind of cell, normal around 0."""
    generator = torch.Generator().manual_seed(seed)
    return {
        kind: scale * torch.randn((len(edges), layout.n_columns), generator=generator, dtype=dtype)
        for kind, edges in layout.edges.items()
    }


def only(layout, kept):
    """All alive but in some rows, which keep the columns that ``kept`` gives for ``(kind, row)``."""
    alive = layout.all_alive()
    for (kind, row), columns in kept.items():
        alive[kind][row] &= [column in columns for column in range(layout.n_columns)]
    return alive


def same(a, b):
    """Whether two trees of tensors are equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@dataclass(frozen=True)
class Worst:
    """An aggregator of a user's own, of which no derivative is known."""

    def __call__(self, costs):
        return costs.max(-1)
