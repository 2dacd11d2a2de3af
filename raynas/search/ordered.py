"""Searchers whose decisions depend on the seed and the outcomes, never on timing.

An algorithm sees outcomes in the order of its proposals, at points fixed by the proposals alone: before
proposal k it has seen exactly the first k - parallelism + 1 outcomes, however many trials run at once and in
whatever order they end. So the same seed finds the same architectures on two cores and on two hundred GPUs,
and a replayed run decides as the run did.

A note on design choices: feeding outcomes as they arrive would use each a little earlier, at the price of
results that nobody can repeat. ``parallelism`` is therefore a property of the algorithm, not of the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from raynas.errors import InputError
from raynas.search.asktell import Objective, Outcome, Proposal, Report, Score
from raynas.spaces import Architecture

Point: TypeAlias = Architecture | Mapping[str, Any]
"""What an algorithm tries: an architecture, or values for keys of the configuration by dotted path."""


class Algorithm(Protocol):
    """The part of a searcher that is its own: what to try, and what to learn from a result."""

    def propose(self) -> Point | None:
        """The next point; None to see the next outcome first, or, where none is left, for good."""
        ...

    def observe(self, point: Any, cost: float | None) -> None:
        """Learns the cost (lower is better) of the earliest proposal not yet observed; None: it failed."""
        ...


class Ordered:
    """A searcher made of an algorithm; see the module.

    Args:
        algorithm: Proposes and observes.
        objective: Gives the cost of an outcome.
        n_proposals: Proposals until the search ends.
        parallelism: Outcomes that may be missing when a proposal is made, plus one; None: any number, for
            algorithms that say by themselves, by proposing None, when they need to see an outcome.
    """

    def __init__(
        self, algorithm: Algorithm, objective: Objective, *, n_proposals: int, parallelism: int | None = None
    ) -> None:
        self._algorithm = algorithm
        self._objective = objective
        self._n_proposals = n_proposals
        self._parallelism = parallelism
        self._asked = 0
        self._observed = 0
        self._unobserved: dict[int, Point] = {}
        self._costs: dict[int, float | None] = {}
        self._untold: dict[int, Point] = {}

    def ask(self) -> Proposal | None:
        """See ``Searcher.ask``."""
        if self._asked == self._n_proposals:
            return None
        while self._parallelism is not None and self._asked - self._observed >= self._parallelism:
            if not self._observe_next():
                return None
        while (point := self._algorithm.propose()) is None:
            if not self._observe_next():
                return None
        if isinstance(point, Architecture):
            proposal = Proposal(self._asked, point, group=self._asked)
        else:
            proposal = Proposal(self._asked, None, point, group=self._asked)
        self._untold[proposal.id] = self._unobserved[proposal.id] = point
        self._asked += 1
        return proposal

    def tell(self, proposal_id: int, outcome: Outcome) -> Score | None:
        """See ``Searcher.tell``; the first outcome of a proposal counts, later ones are ignored.

        Raises:
            InputError: No such proposal was made.
        """
        if not 0 <= proposal_id < self._asked:
            raise InputError(f"outcome for proposal {proposal_id}, but only {self._asked} were made")
        if proposal_id not in self._untold:
            return None
        value = self._objective.value(outcome)
        point = self._untold.pop(proposal_id)
        if proposal_id >= self._observed:
            self._costs.setdefault(proposal_id, None if value is None else self._objective.cost(value))
        failed = value is None
        architecture = point if isinstance(point, Architecture) else None
        return Score(proposal_id, architecture, value, n=int(not failed), n_failed=int(failed))

    def hint(self, proposal_id: int, report: Report) -> None:
        """A trial has paused: the algorithm learns what it had come to then, and does not wait for more."""
        if proposal_id in self._untold and proposal_id >= self._observed:
            value = self._objective.value(report)
            self._costs.setdefault(proposal_id, None if value is None else self._objective.cost(value))

    def _observe_next(self) -> bool:
        if self._observed not in self._costs:
            return False
        cost = self._costs.pop(self._observed)
        self._algorithm.observe(self._unobserved.pop(self._observed), cost)
        self._observed += 1
        return True
