"""Random search: independent uniform draws, with replacement (the baseline of Wang et al. 2021, Sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raynas.ranges import require_positive
from raynas.search.asktell import SearchContext
from raynas.search.ordered import Ordered
from raynas.spaces import Architecture, SearchSpace


@dataclass(frozen=True)
class RandomSearch:
    """Proposes architectures drawn uniformly from the space.

    Attributes:
        n_proposals: Architectures drawn; an architecture drawn twice is trained once.
    """

    n_proposals: int = 100

    def __post_init__(self) -> None:
        require_positive(n_proposals=self.n_proposals)

    def start(self, context: SearchContext) -> Ordered:
        """A random search at its beginning."""
        uniform = _Uniform(context.space, context.generator("random_search"))
        return Ordered(uniform, context.objective, n_proposals=self.n_proposals)


class _Uniform:
    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        self._space = space
        self._rng = rng

    def propose(self) -> Architecture:
        return self._space.sample(self._rng)

    def observe(self, architecture: Architecture, cost: float | None) -> None:
        """Nothing to learn."""
