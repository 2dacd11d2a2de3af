"""Where to put the vertices of a small directed graph so that nothing lies on anything else.

Layers from left to right (Sugiyama, Tagawa and Toda, IEEE Transactions on SMC 1981): where a line passes a
layer, it has a place of its own among the layer's vertices. Orders come from medians and exchanges; depths
from least squares, reweighted so that lines run level.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median
from typing import Generic, TypeVar

import numpy as np

from raynas import seeding

V = TypeVar("V", bound=Hashable)

_BEGINNINGS, _SWEEPS, _REWEIGHTED = 8, 6, 10
_LEVEL = 2e-3
"""A step that is taken for none."""
_STILL = 0.05
"""Pull to the middle, weak beside that along links; it also settles what has no link."""


@dataclass(frozen=True)
class Layered(Generic[V]):
    """A graph whose links join neighbouring layers.

    Attributes:
        layers: The vertices of each layer, none of them empty, from left to right.
        links: From a vertex to one of the next layer.
        level: Those of the links that had best be level.
        sizes: Height of each vertex.
        gap: Least distance between two vertices of a layer, in the unit of the sizes.
    """

    layers: Sequence[Sequence[V]]
    links: Sequence[tuple[V, V]]
    level: AbstractSet[tuple[V, V]]
    sizes: dict[V, float]
    gap: float


def depths(graph: Layered[V]) -> dict[V, float]:
    """How far down the middle of every vertex is, in the unit of the sizes; 0 is about the middle of all."""
    return _settled(graph, _ordered(graph))


def n_crossings(layers: Sequence[Sequence[V]], links: Iterable[tuple[V, V]]) -> int:
    """Pairs of links that cross, where the vertices of a layer stand in the given order."""
    place = {vertex: (number, row) for number, layer in enumerate(layers) for row, vertex in enumerate(layer)}
    between: dict[int, list[tuple[int, int]]] = {}
    for a, b in links:
        number, row = place[a]
        between.setdefault(number, []).append((row, place[b][1]))
    pairs = (pair for ends in between.values() for pair in combinations(ends, 2))
    return sum((a - c) * (b - d) < 0 for (a, b), (c, d) in pairs)


def _ordered(graph: Layered[V]) -> list[list[V]]:
    """The layers in the order of fewest crossings among those tried."""
    rng = seeding.generator(0, "layered layout")
    found: list[tuple[int, list[list[V]]]] = []
    for beginning in range(_BEGINNINGS):
        layers = [list(layer) for layer in graph.layers]
        if beginning:
            layers = [[layer[place] for place in rng.permutation(len(layer))] for layer in layers]
        for sweep in range(_SWEEPS):
            _by_medians(layers, graph.links, leftward=bool(sweep % 2))
            _by_exchanges(layers, graph.links)
            found.append((n_crossings(layers, graph.links), [list(layer) for layer in layers]))
            if not found[-1][0]:
                return layers
    return min(found, key=lambda one: one[0])[1]


def _by_medians(layers: list[list[V]], links: Collection[tuple[V, V]], *, leftward: bool) -> None:
    """Sorts each layer by the middle of what its vertices are linked to in the one before it in the sweep."""
    sweep = layers[::-1] if leftward else layers
    for fixed, layer in pairwise(sweep):
        place = {vertex: float(row) for row, vertex in enumerate(fixed)}
        own = {vertex: float(row) for row, vertex in enumerate(layer)}
        near: dict[V, list[float]] = {vertex: [] for vertex in layer}
        for link in links:
            there, here = link[::-1] if leftward else link
            if here in near and there in place:
                near[here].append(place[there])
        middle = {vertex: median(rows) if rows else own[vertex] for vertex, rows in near.items()}
        layer.sort(key=lambda vertex: middle[vertex])


def _by_exchanges(layers: list[list[V]], links: Collection[tuple[V, V]]) -> None:
    """Exchanges neighbours for as long as that takes crossings away."""
    for number, layer in enumerate(layers):
        around = layers[max(0, number - 1) : number + 2]
        inside = {vertex for part in around for vertex in part}
        near = [link for link in links if link[0] in inside and link[1] in inside]
        least, better = n_crossings(around, near), True
        while better and least:
            better = False
            for first in range(len(layer) - 1):
                layer[first : first + 2] = layer[first : first + 2][::-1]
                if (now := n_crossings(around, near)) < least:
                    least, better = now, True
                else:
                    layer[first : first + 2] = layer[first : first + 2][::-1]


def _settled(graph: Layered[V], layers: Sequence[Sequence[V]]) -> dict[V, float]:
    """Depths of short steps along the links: in squares, or, of those to be level, in absolute values."""
    from scipy.optimize import lsq_linear

    column = {vertex: number for number, vertex in enumerate(v for layer in layers for v in layer)}
    n = len(column)
    # A depth is that of its layer's first vertex, and the least distances and slacks of 0 or more down to it.
    to_depths, due, least = np.zeros((n, n)), np.zeros(n), np.zeros(n)
    for layer in layers:
        least[column[layer[0]]] = -np.inf
        to_depths[column[layer[0]], column[layer[0]]] = 1
        for above, vertex in pairwise(layer):
            to_depths[column[vertex]] = to_depths[column[above]]
            to_depths[column[vertex], column[vertex]] = 1
            apart = graph.gap + (graph.sizes[above] + graph.sizes[vertex]) / 2
            due[column[vertex]] = due[column[above]] + apart
    steps = np.zeros((len(graph.links), n))
    for row, (a, b) in enumerate(graph.links):
        steps[row, column[b]], steps[row, column[a]] = 1, -1
    level = np.array([link in graph.level for link in graph.links], dtype=bool)
    weights = np.where(level, 4.0, 1.0)
    made = due
    for _ in range(_REWEIGHTED):
        pulls = np.concatenate([np.sqrt(weights)[:, None] * steps, _STILL * np.eye(n)])
        found = lsq_linear(pulls @ to_depths, -pulls @ due, bounds=(least, np.inf), method="bvls")
        made = to_depths @ found.x + due
        # Squares over the steps of the round before come to the steps' sizes, whose sum makes most of them 0.
        weights = np.where(level, 1 / (np.abs(steps @ made) + _LEVEL), weights)
    return {vertex: float(made[row]) for vertex, row in column.items()}
