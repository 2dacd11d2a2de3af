"""Tries configurations: all combinations of ``sweep``, random ones, or what Optuna suggests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any, ClassVar

import numpy as np

from raynas.errors import InputError
from raynas.ranges import require_positive
from raynas.search.asktell import SearchContext
from raynas.search.ordered import Ordered
from raynas.search.searcher.optuna import Optuna, Study
from raynas.search.sweep import Interval, Listed, Range, Value
from raynas.spaces import SearchSpace

GRID, RANDOM = "grid", "random"


@dataclass(frozen=True)
class Sweep:
    """Proposes values for the keys that the experiment's ``sweep`` names; one proposal where it names none.

    Attributes:
        sampler: ``grid``: every combination, the last key changing fastest; ``random``; or the name of a
            class in ``optuna.samplers``.
        sampler_options: Arguments of Optuna's sampler.
        n_proposals: Proposals; None: all of a grid.
        parallelism: Of Optuna's samplers, proposals under way at a time.
    """

    proposes_architectures: ClassVar[bool] = False

    sampler: str = GRID
    sampler_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    n_proposals: int | None = None
    parallelism: int = 4

    def __post_init__(self) -> None:
        if self.n_proposals is not None:
            require_positive(n_proposals=self.n_proposals)
        elif self.sampler != GRID:
            raise ValueError("n_proposals: is missing; only a grid has an end of its own")
        if self.sampler in (GRID, RANDOM) and self.sampler_options:
            raise ValueError(f"sampler_options: sampler {self.sampler} takes none; leave them out")
        require_positive(parallelism=self.parallelism)

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work, as (field, message)."""
        if self.sampler not in (GRID, RANDOM):
            yield from self._optuna().problems(space)

    def sweep_problems(self, ranges: Mapping[str, Range]) -> Iterator[tuple[str, str]]:
        """What this sampler cannot do with the ranges of a sweep, as (field, message)."""
        unlisted = [path for path, of in ranges.items() if isinstance(of, Interval)]
        if self.sampler == GRID and unlisted:
            yield (
                "sampler",
                f"a grid needs lists, and {unlisted[0]} is an interval; use sampler: random",
            )
        if self.sampler != GRID and not ranges:
            yield "sampler", "there is nothing to sweep; name keys under sweep, or leave the searcher out"

    def start(self, context: SearchContext) -> Ordered:
        """A sweep at its beginning.

        Raises:
            InputError: A grid over an interval.
        """
        ranges = context.sweep
        for _, message in self.sweep_problems(ranges):
            raise InputError(f"searcher: {message}")
        if self.sampler == GRID:
            listed = {path: of.values for path, of in ranges.items() if isinstance(of, Listed)}
            points = islice(product(*listed.values()), self.n_proposals)
            grid = [dict(zip(listed, point, strict=True)) for point in points]
            return Ordered(_Grid(grid), context.objective, n_proposals=len(grid))
        assert self.n_proposals is not None
        if self.sampler == RANDOM:
            drawn = _Random(ranges, context.generator("sweep"))
            return Ordered(drawn, context.objective, n_proposals=self.n_proposals)
        study = Study(self._optuna().seeded(context), lambda trial: _suggested(trial, ranges))
        return Ordered(study, context.objective, n_proposals=self.n_proposals, parallelism=self.parallelism)

    def _optuna(self) -> Optuna:
        return Optuna(sampler=self.sampler, sampler_options=self.sampler_options)


class _Grid:
    def __init__(self, points: list[dict[str, Value]]) -> None:
        self._points = iter(points)

    def propose(self) -> Mapping[str, Value] | None:
        return next(self._points, None)

    def observe(self, point: Any, cost: float | None) -> None:
        """Nothing to learn."""


class _Random:
    def __init__(self, ranges: Mapping[str, Range], rng: np.random.Generator) -> None:
        self._ranges, self._rng = ranges, rng

    def propose(self) -> Mapping[str, Value]:
        return {path: of.draw(self._rng) for path, of in self._ranges.items()}

    def observe(self, point: Any, cost: float | None) -> None:
        """Nothing to learn."""


def _suggested(trial: Any, ranges: Mapping[str, Range]) -> Mapping[str, Value]:
    found: dict[str, Value] = {}
    for path, of in ranges.items():
        if isinstance(of, Listed):
            found[path] = trial.suggest_categorical(path, of.values)
        elif of.whole:
            found[path] = trial.suggest_int(path, int(of.low), int(of.high))
        else:
            found[path] = trial.suggest_float(path, of.low, of.high, log=of.log)
    return found
