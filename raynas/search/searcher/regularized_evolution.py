"""Regularized evolution (Real et al., AAAI 2019, Algorithm 1): a population that forgets its oldest member.

The defaults are those of NAS-Bench-201: a population of 10, tournaments of 3 drawn with replacement. A
child is a uniform draw from its parent's neighbors at distance 1. (NAS-Bench-201's own code draws a node
first and then one of its edges, so that its edges are not equally likely.)

Departures: where the paper's workers are asynchronous, parents are drawn from the outcomes that
``parallelism`` allows to be known. An architecture that failed never enters the population; while that is
being filled, another random one is drawn in its stead.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from raynas.ranges import require_positive
from raynas.search.asktell import SearchContext
from raynas.search.ordered import Ordered
from raynas.spaces import Architecture, SearchSpace


@dataclass(frozen=True)
class RegularizedEvolution:
    """Mutates the best of a random few of the youngest ``population_size`` architectures.

    Attributes:
        population_size: Architectures alive, and random ones at the beginning.
        sample_size: Architectures in a tournament, drawn with replacement.
        n_proposals: Architectures proposed, the random ones included.
        parallelism: Proposals under way at a time; 1 is the sequential algorithm.
    """

    population_size: int = 10
    sample_size: int = 3
    n_proposals: int = 200
    parallelism: int = 4

    def __post_init__(self) -> None:
        require_positive(
            population_size=self.population_size,
            sample_size=self.sample_size,
            n_proposals=self.n_proposals,
            parallelism=self.parallelism,
        )

    def start(self, context: SearchContext) -> Ordered:
        """An evolution at its beginning."""
        evolution = _Evolution(self, context.space, context.generator("regularized_evolution"))
        return Ordered(
            evolution, context.objective, n_proposals=self.n_proposals, parallelism=self.parallelism
        )


class _Evolution:
    def __init__(self, spec: RegularizedEvolution, space: SearchSpace, rng: np.random.Generator) -> None:
        self._spec = spec
        self._space = space
        self._rng = rng
        self._population: deque[tuple[Architecture, float]] = deque(maxlen=spec.population_size)
        self._n_unobserved = 0

    def propose(self) -> Architecture:
        filled = len(self._population) + self._n_unobserved >= self._spec.population_size
        self._n_unobserved += 1
        if not filled or not self._population:
            return self._space.sample(self._rng)
        drawn = self._rng.integers(len(self._population), size=self._spec.sample_size)
        parent, _ = min((self._population[i] for i in drawn), key=lambda member: member[1])
        return self._space.mutate(self._rng, parent)

    def observe(self, architecture: Architecture, cost: float | None) -> None:
        self._n_unobserved -= 1
        if cost is not None:
            self._population.append((architecture, cost))
