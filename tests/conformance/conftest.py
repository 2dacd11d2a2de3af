"""A cluster for searchers: trials run side by side and end in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from raynas.search.asktell import (
    Failure,
    Objective,
    Outcome,
    Proposal,
    Report,
    Score,
    SearchContext,
    Searcher,
)
from raynas.search.sweep import Listed
from raynas.spaces import SearchSpace, get_space

Evaluate = Callable[[Proposal], Outcome]


@dataclass
class Trace:
    """What was asked of a searcher and told to it, and the scores it gave, by proposal."""

    proposals: list[Proposal] = field(default_factory=list)
    calls: list[tuple[int, Outcome] | None] = field(
        default_factory=list
    )  # None is an ask that gave a proposal
    scores: dict[int, Score] = field(default_factory=dict)


def run_searcher(
    searcher: Searcher,
    evaluate: Evaluate,
    *,
    concurrency: int = 1,
    order: np.random.Generator | None = None,
) -> Trace:
    """Runs a search to its end.

    Args:
        searcher: At its beginning.
        evaluate: Gives the outcome of a proposal.
        concurrency: Trials that run at a time.
        order: Draws which trial ends next; the oldest does where it is not given.
    """
    trace = Trace()
    running: list[Proposal] = []
    while True:
        while len(running) < concurrency and (proposal := searcher.ask()) is not None:
            trace.proposals.append(proposal)
            trace.calls.append(None)
            running.append(proposal)
        if not running:
            return trace
        ended = running.pop(0 if order is None else int(order.integers(len(running))))
        outcome = evaluate(ended)
        trace.calls.append((ended.id, outcome))
        if (score := searcher.tell(ended.id, outcome)) is not None:
            assert score.proposal_id not in trace.scores
            trace.scores[score.proposal_id] = score


@dataclass
class Landscape:
    """A made-up benchmark: additive in the operations of the edges, so that it has something to learn."""

    space: SearchSpace
    weights: np.ndarray
    sign: float = 1.0

    def __call__(self, proposal: Proposal) -> Report:
        """Every architecture has its value, and so has a configuration that says the same."""
        value = self.weights[np.arange(self.space.n_edges), operations(proposal)].sum()
        return Report({"valid_accuracy_pct": self.sign * (70.0 + float(value))}, epoch=1, cost_s=1.0)

    def with_failures(self, proposal: Proposal) -> Outcome:
        """Every third architecture fails, in one of four ways."""
        match sum(operations(proposal)) % 12:
            case 0:
                return Failure("diverged", "the loss is not finite", epoch=1)
            case 3:
                return Failure("error", "out of memory")
            case 6:
                return Failure("lost", "the machine went away")
            case 9:
                return Report({"valid_accuracy_pct": float("nan")}, epoch=1)
            case _:
                return self(proposal)


def operations(proposal: Proposal) -> tuple[int, ...]:
    """One an edge: those of the architecture, or the values of a configuration with a key for each edge."""
    return tuple(proposal.config.values()) if proposal.architecture is None else proposal.architecture.ops


@pytest.fixture
def landscape() -> Landscape:
    """On NAS-Bench-201."""
    space = get_space("nas_bench_201")
    weights = np.random.default_rng(0).normal(size=(space.n_edges, len(space.operations)))
    return Landscape(space, weights)


@pytest.fixture
def context(landscape: Landscape) -> Callable[..., SearchContext]:
    """Makes the context of a search for the highest accuracy."""

    def make(seed: int = 0, mode: str = "max") -> SearchContext:
        space = landscape.space
        sweep = {edge.name: Listed(tuple(range(len(space.operations)))) for edge in space.edges}
        return SearchContext(space, Objective("valid_accuracy_pct", mode), seed, sweep)

    return make


@pytest.fixture
def drive() -> Callable[..., Trace]:
    """See ``run_searcher``."""
    return run_searcher
