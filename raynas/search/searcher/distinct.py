"""Every architecture of a space once, but of those that compute the same the first alone; in random order.

For exhaustive tables: what is measured of one form (``raynas.spaces.canonical``) tells of all its members.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raynas.ranges import require_positive
from raynas.search.asktell import SearchContext
from raynas.search.ordered import Ordered
from raynas.spaces import Architecture, SearchSpace
from raynas.spaces.canonical import classes


@dataclass(frozen=True)
class Distinct:
    """Proposes the first architecture of every canonical form.

    Attributes:
        n_proposals: Architectures proposed; None: all. The first ones are a random sample.
    """

    n_proposals: int | None = None

    def __post_init__(self) -> None:
        if self.n_proposals is not None:
            require_positive(n_proposals=self.n_proposals)

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        if space.kind != "nas_bench_201":
            yield (
                "name",
                f"distinct enumerates cells like NAS-Bench-201's, and {space.name} is of kind "
                f"'{space.kind}'; use search_space: nas_bench_201, or a space of that kind",
            )

    def n_evaluations(self, space: SearchSpace) -> int:
        """Architectures that it proposes in a space."""
        n_forms = len(classes(space)[1])
        return n_forms if self.n_proposals is None else min(self.n_proposals, n_forms)

    def start(self, context: SearchContext) -> Ordered:
        """The enumeration at its beginning."""
        class_of, cells = classes(context.space)
        firsts = np.unique(class_of, return_index=True)[1]
        order = context.generator("distinct").permutation(firsts)
        listed = _Listed(context.space, order.tolist())
        n_proposals = min(self.n_proposals or len(cells), len(cells))
        return Ordered(listed, context.objective, n_proposals=n_proposals)


class _Listed:
    def __init__(self, space: SearchSpace, indices: list[int]) -> None:
        self._space = space
        self._indices = iter(indices)

    def propose(self) -> Architecture:
        return self._space.at(next(self._indices))

    def observe(self, architecture: Architecture, cost: float | None) -> None:
        """Nothing to learn."""
