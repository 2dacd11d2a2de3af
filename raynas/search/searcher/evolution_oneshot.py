"""Evolution over the scores of a one-shot supernet (SPOS; Guo et al., ECCV 2020, Algorithm 1).

GeNAS (Jeong et al., IJCAI 2023) and RLNAS (Zhang et al., CVPR 2021) search with it, and these are their
released settings: the defaults for the DARTS space, and for NAS-Bench-201 ``population_size: 100``,
``top_k: 30``, ``n_mutation: 50`` and ``n_crossover: 50``.

Each generation is scored as a whole. The best ``top_k`` so far are the parents of the next one: mutants, then
crossovers, then random candidates up to the population. What a draw, a mutation or a crossover leaves invalid
is repaired (``raynas.spaces.repair``); a candidate proposed before, or beyond the limit of multiply-adds, is
no candidate. Random ones are uniform over the space: in the DARTS family that is the law of repaired uniform
genes, and in NAS-Bench-201 every cell counts, also one with a node that has no input, which the training of
a supernet never visits.

Departures: the released code never mutates the reduction cell (``mutate_reduce: false`` repeats that) and
tells candidates apart before their repair as well. Both operators stop after ten tries a candidate, where the
released mutation tries for ever. A candidate that failed is nobody's parent, and a space that is used up ends
the search.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raynas.errors import InputError
from raynas.ranges import require_positive
from raynas.search.asktell import SearchContext
from raynas.search.ordered import Ordered
from raynas.spaces import ABSENT, Architecture, SearchSpace, repaired

_DRAWS = 10_000  # in vain, one after another, until a space counts as used up
_TRIES = 10  # of an operator, for each candidate that it is to make


@dataclass(frozen=True)
class EvolutionOneshot:
    """Mutates and crosses the best ``top_k`` candidates so far, generation by generation.

    Attributes:
        population_size: Candidates of a generation.
        top_k: Parents.
        generations: Generations scored, the random first one included.
        n_mutation: Mutants in a generation.
        mutation_probability: Of each gene, to be drawn anew; the new one may be the old one.
        n_crossover: Candidates in a generation that take each gene from one of two parents, the two being
            drawn with replacement.
        mutate_reduce: Whether mutation changes reduction cells; false repeats the released code.
        mutate_none: Whether a gene drawn anew may be ``none``, or an edge not used; None: as the papers have
            it, which is yes in the DARTS family and no in NAS-Bench-201.
        flops_max_m: Multiply-adds that a candidate may need for one image, in millions; None: any number.
    """

    population_size: int = 50
    top_k: int = 10
    generations: int = 20
    n_mutation: int = 25
    mutation_probability: float = 0.1
    n_crossover: int = 25
    mutate_reduce: bool = True
    mutate_none: bool | None = None
    flops_max_m: float | None = None

    def __post_init__(self) -> None:
        require_positive(population_size=self.population_size, top_k=self.top_k, generations=self.generations)
        if self.top_k > self.population_size:
            raise ValueError(
                f"top_k: {self.top_k} parents of a population of {self.population_size}; give at most that"
            )
        for name in ("n_mutation", "n_crossover"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative; give 0 or more")
        if self.n_mutation + self.n_crossover > self.population_size:
            raise ValueError(
                f"n_mutation: {self.n_mutation} and {self.n_crossover} by crossover exceed the population of "
                f"{self.population_size}; give fewer, or a larger population_size"
            )
        if not 0 <= self.mutation_probability <= 1:
            raise ValueError(
                f"mutation_probability: {self.mutation_probability} is outside [0, 1]; give a gene's chance"
            )
        if self.flops_max_m is not None and not self.flops_max_m > 0:
            raise ValueError(
                f"flops_max_m: {self.flops_max_m} is not above 0; give millions of multiply-adds"
            )

    def n_evaluations(self, space: SearchSpace) -> int:
        """Architectures that it proposes in a space."""
        return min(self.population_size * self.generations, space.size)

    def start(self, context: SearchContext) -> Ordered:
        """An evolution at its beginning.

        Raises:
            InputError: There is a limit of multiply-adds, and nothing counts them, or nothing meets it.
        """
        evolution = _Evolution(self, context)
        return Ordered(evolution, context.objective, n_proposals=self.population_size * self.generations)


class _Evolution:
    def __init__(self, spec: EvolutionOneshot, context: SearchContext) -> None:
        self._spec = spec
        self._space = context.space
        self._rng = context.generator("evolution_oneshot")
        self._limit = None if spec.flops_max_m is None else _Limit(spec.flops_max_m, context)
        self._redrawn, self._genes = _genes(spec, context.space)
        self._proposed: set[Architecture] = set()
        self._scored: list[tuple[float, Architecture]] = []
        self._top: list[tuple[float, Architecture]] = []
        self._n_unobserved = 0
        self._n_later = spec.generations - 1
        self._queue = deque(self._random(spec.population_size))
        if not self._queue and self._limit is not None:
            raise InputError(self._limit.unmet(context.space))

    def propose(self) -> Architecture | None:
        if not self._queue:
            if self._n_unobserved or not self._n_later:
                return None
            self._queue.extend(self._next_generation())
            self._n_later = self._n_later - 1 if self._queue else 0
            if not self._queue:
                return None
        self._n_unobserved += 1
        return self._queue.popleft()

    def observe(self, architecture: Architecture, cost: float | None) -> None:
        self._n_unobserved -= 1
        if cost is not None:
            self._scored.append((cost, architecture))

    def _next_generation(self) -> list[Architecture]:
        spec = self._spec
        # a stable sort, so that of equal ones the earlier stay
        self._top = sorted([*self._top, *self._scored], key=lambda scored: scored[0])[: spec.top_k]
        self._scored = []
        made: list[Architecture] = []
        if self._top:
            made += self._bred(spec.n_mutation, self._mutant)
            made += self._bred(spec.n_crossover, self._crossover)
        return made + self._random(spec.population_size - len(made))

    def _bred(self, n: int, breed: Callable[[], Architecture]) -> list[Architecture]:
        """Up to n candidates of an operator."""
        tries = (breed() for _ in range(_TRIES * n))
        made: list[Architecture] = []
        while len(made) < n and (child := next(tries, None)) is not None:
            if self._admitted(child):
                made.append(child)
        return made

    def _random(self, n: int) -> list[Architecture]:
        """Up to n random candidates."""
        made: list[Architecture] = []
        in_vain = 0
        while len(made) < n and in_vain < _DRAWS:
            if self._admitted(drawn := self._space.sample(self._rng)):
                made.append(drawn)
                in_vain = 0
            else:
                in_vain += 1
        return made

    def _admitted(self, architecture: Architecture) -> bool:
        """Takes an architecture as a candidate, unless it has been one or exceeds the limit."""
        if architecture in self._proposed or (
            self._limit is not None and not self._limit.met_by(architecture)
        ):
            return False
        self._proposed.add(architecture)
        return True

    def _mutant(self) -> Architecture:
        genes = list(self._parent())
        redrawn = self._redrawn & (self._rng.random(len(genes)) < self._spec.mutation_probability)
        for edge in np.flatnonzero(redrawn).tolist():
            genes[edge] = self._genes[edge][int(self._rng.integers(len(self._genes[edge])))]
        return repaired(self._rng, self._space, genes)

    def _crossover(self) -> Architecture:
        one, other = self._parent(), self._parent()
        coins = self._rng.integers(2, size=len(one)).tolist()
        genes = [b if coin else a for a, b, coin in zip(one, other, coins, strict=True)]
        return repaired(self._rng, self._space, genes)

    def _parent(self) -> tuple[int, ...]:
        return self._top[int(self._rng.integers(len(self._top)))][1].ops


class _Limit:
    """Millions of multiply-adds that a candidate may need."""

    def __init__(self, most_m: float, context: SearchContext) -> None:
        if context.flops_m is None:
            raise InputError(
                f"searcher.flops_max_m: {most_m:g} million multiply-adds are the limit, and nothing here "
                "counts those of a candidate; use a workload that does, such as score_subnet, or leave it out"
            )
        self._most_m, self._flops_m = most_m, context.flops_m
        self._least_m = math.inf

    def met_by(self, architecture: Architecture) -> bool:
        flops_m = self._flops_m(architecture)
        self._least_m = min(self._least_m, flops_m)
        return flops_m <= self._most_m

    def unmet(self, space: SearchSpace) -> str:
        return (
            f"searcher.flops_max_m: none of {_DRAWS:,} random architectures of {space.name} needs at most "
            f"{self._most_m:g} million multiply-adds, and the least is {self._least_m:.4g}; raise it, or "
            "leave it out"
        )


def _genes(spec: EvolutionOneshot, space: SearchSpace) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Whether mutation changes each edge, and what it changes it into."""
    absent = (ABSENT,) if any(ABSENT in site.choices[0] for site in space.sites) else ()
    with_none = bool(absent) if spec.mutate_none is None else spec.mutate_none
    genes = []
    for edge in space.edges:
        real = tuple(op for op in edge.selectable if space.operations[op] != "none")
        genes.append((*absent, *edge.selectable) if with_none else real or edge.selectable)
    redrawn = np.array([spec.mutate_reduce or edge.cell != "reduce" for edge in space.edges])
    return redrawn, genes
