"""Local search (White et al., UAI 2021), with the settings of NASLib.

Ten random architectures are evaluated, then all neighbors of the best of them at distance 1. The search
moves to the best neighbor as long as that is strictly better than where it stands; in a local optimum it
starts again from one fresh random architecture.

No architecture is proposed twice: neighbors already evaluated keep their outcome, and a start is drawn
among the architectures not yet seen. Where a thousand draws find none, the space is used up and the search
ends.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from raynas.ranges import require_positive
from raynas.search.asktell import SearchContext
from raynas.search.ordered import Ordered
from raynas.spaces import Architecture, SearchSpace

_DRAWS = 1000


@dataclass(frozen=True)
class LocalSearch:
    """Walks downhill from the best of ``n_initial`` random architectures, then from one new one at a time.

    All members of a neighborhood can run at once; the next step waits for the last of them.

    Attributes:
        n_initial: Random architectures evaluated first.
        n_proposals: Architectures proposed in all.
    """

    n_initial: int = 10
    n_proposals: int = 200

    def __post_init__(self) -> None:
        require_positive(n_initial=self.n_initial, n_proposals=self.n_proposals)

    def start(self, context: SearchContext) -> Ordered:
        """A local search at its beginning."""
        descent = _Descent(self.n_initial, context.space, context.generator("local_search"))
        return Ordered(descent, context.objective, n_proposals=self.n_proposals)


class _Descent:
    def __init__(self, n_initial: int, space: SearchSpace, rng: np.random.Generator) -> None:
        self._space = space
        self._rng = rng
        self._costs: dict[Architecture, float] = {}
        self._proposed: set[Architecture] = set()
        self._queue: deque[Architecture] = deque()
        self._n_unobserved = 0
        self._n_starts = n_initial
        self._exhausted = False
        self._center: Architecture | None = None
        self._contenders: list[Architecture] = []  # the starts, or the neighbors of the center

    def propose(self) -> Architecture | None:
        while not self._queue:
            if self._n_unobserved or self._exhausted:
                return None
            self._advance()
        self._n_unobserved += 1
        return self._queue.popleft()

    def observe(self, architecture: Architecture, cost: float | None) -> None:
        self._n_unobserved -= 1
        self._costs[architecture] = math.inf if cost is None else cost

    def _advance(self) -> None:
        """One step, or a fresh start; queues what is not evaluated yet, which may be nothing."""
        best = min(self._contenders, key=self._cost, default=None)
        if self._cost(best) < self._cost(self._center):
            assert best is not None
            neighbors = list(self._space.neighbors(best))
            self._contenders = [neighbors[i] for i in self._rng.permutation(len(neighbors))]
            self._center = best
        else:
            self._contenders = self._fresh(self._n_starts)
            self._exhausted = not self._contenders
            self._n_starts = 1
            self._center = None
        self._queue.extend(one for one in self._contenders if one not in self._proposed)
        self._proposed.update(self._contenders)

    def _cost(self, architecture: Architecture | None) -> float:
        return math.inf if architecture is None else self._costs[architecture]

    def _fresh(self, n: int) -> list[Architecture]:
        """Up to n random architectures not proposed before."""
        fresh: dict[Architecture, None] = {}
        for _ in range(n * _DRAWS):
            if len(fresh) == n:
                break
            if (drawn := self._space.sample(self._rng)) not in self._proposed:
                fresh[drawn] = None
        return list(fresh)
