"""Neighborhood-aware search (NA; Wang et al. 2021, Algorithm 3): any searcher, scored by neighborhoods.

Each architecture that the base searcher proposes becomes the reference of a neighborhood, of which
``n_nbr`` members are evaluated, each a trial of its own. The base is told one number for all of them and
never sees a neighbor: its population, its proposals and the architecture it returns are references.

Departures: the members' draw is a function of the seed and the architecture, so that a reference proposed
again takes all its outcomes from the first time (``resample="fresh"`` draws anew each time, as the paper's
loop does). The paper is silent on members that fail; see ``Neighborhood``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import numpy as np

from raynas.errors import InputError
from raynas.flatness.aggregator.mean import Mean
from raynas.lookup import Slot
from raynas.ranges import require_positive
from raynas.search.asktell import Failure, Outcome, Proposal, Report, Score, SearchContext, SearcherSpec
from raynas.search.searcher.random_search import RandomSearch
from raynas.spaces import Architecture, SearchSpace

Aggregator: TypeAlias = Callable[[np.ndarray], np.ndarray | float]
"""Costs ``(..., n)``, the reference's first, to one cost each; what fills ``raynas.flatness.aggregator``."""


@dataclass(frozen=True)
class Neighborhood:
    """Scores every architecture of a base searcher by a neighborhood of it.

    A member that diverged costs infinity: the mean, the maximum and the variance then reject the
    neighborhood, the median only when half of it diverged. A neighbor lost to an error of the program or the
    machine is left out. A reference without a result fails its neighborhood.

    Attributes:
        base: Proposes the references.
        d: Radius of the neighborhood, in changed edges; at 0, its neutral value, only references are
            evaluated.
        n_nbr: Members evaluated, the reference included; 1 is neutral too. Where the ball around a reference
            is smaller, all of it is evaluated.
        aggregator: Makes one cost of the members' costs.
        ball: ``uniform`` draws neighbors uniformly from the ball; ``perturb_d`` redraws d random decisions of
            the reference (the paper's wording for the DARTS space).
        resample: ``per_architecture`` draws the same neighbors whenever a reference is proposed; ``fresh``
            draws new ones.
    """

    base: Annotated[SearcherSpec, Slot("raynas.search.searcher")] = field(default_factory=RandomSearch)
    d: int = 1
    n_nbr: int = 10
    aggregator: Annotated[Aggregator, Slot("raynas.flatness.aggregator")] = field(default_factory=Mean)
    ball: Literal["uniform", "perturb_d"] = "uniform"
    resample: Literal["per_architecture", "fresh"] = "per_architecture"

    def __post_init__(self) -> None:
        if isinstance(self.base, Neighborhood):
            raise ValueError(
                "base: a neighborhood of neighborhoods has no meaning; give the inner one's base, a larger d"
            )
        if not getattr(self.base, "proposes_architectures", True):
            raise ValueError("base: proposes no architectures; give one that does, such as random_search")
        if self.d < 0:
            raise ValueError(f"d: {self.d} is below 0; give 1 or more, or 0 for references alone")
        require_positive(n_nbr=self.n_nbr)

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message); what the base cannot do there included."""
        widest = sum(int(site.distances.max()) for site in space.sites)
        if self.d > widest:
            limit = f"{widest} edges" if widest == space.n_edges else f"largest distance, {widest},"
            yield (
                "d",
                f"{self.d} exceeds the {limit} of {space.name}, so every architecture is a neighbor; "
                f"use d <= {widest - 1}, or 0 for references alone",
            )
        elif self.d > 0 and all(len(set(site.counts)) == 1 for site in space.sites):
            ball = space.ball_size(space.at(0), self.d)  # the same around every architecture of such a space
            if self.n_nbr > ball:
                yield (
                    "n_nbr",
                    f"{self.n_nbr} exceeds the {ball} architectures of {space.name} within d = {self.d}, the "
                    f"reference included; use n_nbr <= {ball}, or a larger d",
                )
        of_base = getattr(self.base, "problems", None)
        if of_base is not None:
            yield from ((f"base.{name}", message) for name, message in of_base(space))

    def start(self, context: SearchContext) -> _NeighborhoodSearcher:
        """A search at its beginning."""
        return _NeighborhoodSearcher(self, context)


@dataclass
class _Group:
    """A neighborhood under way; members in the order of their proposals, the reference first."""

    base_id: int
    first_id: int
    members: list[Architecture]
    outcomes: dict[int, Outcome] = field(default_factory=dict)


class _NeighborhoodSearcher:
    def __init__(self, spec: Neighborhood, context: SearchContext) -> None:
        self._spec = spec
        self._context = context
        self._objective = context.objective
        self._base = spec.base.start(context)
        self._queue: deque[Proposal] = deque()
        self._asked = 0
        self._untold: dict[int, _Group] = {}

    def ask(self) -> Proposal | None:
        """See ``Searcher.ask``."""
        if not self._queue:
            proposed = self._base.ask()
            if proposed is None:
                return None
            self._open(proposed)
        self._asked += 1
        return self._queue.popleft()

    def tell(self, proposal_id: int, outcome: Outcome) -> Score | None:
        """See ``Searcher.tell``; the last outcome of a neighborhood gives its score.

        Raises:
            InputError: No such proposal was made.
        """
        if not 0 <= proposal_id < self._asked:
            raise InputError(f"outcome for proposal {proposal_id}, but only {self._asked} were made")
        if (group := self._untold.get(proposal_id)) is None:
            return None
        self._objective.value(outcome)  # refuses a report without the metric before anything has changed
        del self._untold[proposal_id]
        group.outcomes[proposal_id] = outcome
        return self._close(group) if len(group.outcomes) == len(group.members) else None

    def _open(self, proposed: Proposal) -> None:
        reference = proposed.architecture
        if reference is None:
            raise InputError("the base of a neighborhood must propose architectures, not only configurations")
        group = _Group(proposed.id, self._asked, [reference, *self._neighbors(reference, proposed.id)])
        for id_, member in enumerate(group.members, self._asked):
            role = "reference" if id_ == group.first_id else "neighbor"
            self._queue.append(Proposal(id_, member, config=proposed.config, role=role, group=proposed.id))
            self._untold[id_] = group

    def _neighbors(self, reference: Architecture, base_id: int) -> list[Architecture]:
        spec, space = self._spec, self._context.space
        n = min(spec.n_nbr, space.ball_size(reference, spec.d)) - 1
        if n == 0:
            return []
        visit = () if spec.resample == "per_architecture" else (base_id,)
        # A stream of its own, so that the base draws what it would draw alone.
        rng = self._context.generator("neighborhood", space.format(reference), *visit)
        return list(space.sample_ball(rng, reference, spec.d, n, law=spec.ball))

    def _close(self, group: _Group) -> Score:
        outcomes = [outcome for _, outcome in sorted(group.outcomes.items())]
        costs = [cost for outcome in outcomes if (cost := self._cost(outcome)) is not None]
        n_failed = sum(self._objective.value(outcome) is None for outcome in outcomes)
        verdict = self._verdict(outcomes, costs)
        self._base.tell(group.base_id, verdict)
        value = self._objective.value(verdict)
        n = 0 if value is None else len(costs)
        return Score(group.first_id, group.members[0], value, n=n, n_failed=n_failed)

    def _verdict(self, outcomes: list[Outcome], costs: list[float]) -> Outcome:
        """What the base is told."""
        reference, metric = outcomes[0], self._objective.metric
        if isinstance(reference, Failure):
            return reference
        if self._objective.value(reference) is None:
            return Failure("diverged", f"{metric} of the reference is not a finite number", reference.epoch)
        cost = float(self._spec.aggregator(np.array(costs)))
        if not math.isfinite(cost):
            n_diverged = sum(map(math.isinf, costs))
            return Failure("diverged", f"{n_diverged} of {len(costs)} members diverged", reference.epoch)
        cost_s = sum(outcome.cost_s for outcome in outcomes if isinstance(outcome, Report))
        value = self._objective.cost(cost)  # at most a change of sign, so the way back is the way there
        return Report({metric: value}, reference.epoch, cost_s)

    def _cost(self, outcome: Outcome) -> float | None:
        """Infinite for a member that diverged; None for one that is left out."""
        if isinstance(outcome, Failure) and outcome.kind != "diverged":
            return None
        value = self._objective.value(outcome)
        return math.inf if value is None else self._objective.cost(value)
