"""Searches on NAS-Bench-201 with made-up values, one trial at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raynas.search.asktell import Objective, Proposal, Report, Score, SearchContext
from raynas.spaces import SearchSpace, get_space

METRIC = "valid_error_pct"


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """NAS-Bench-201."""
    return get_space("nas_bench_201")


@pytest.fixture
def tiny_space(tmp_path: Path) -> SearchSpace:
    """Nine architectures: three operations, and two of three edges that have a choice."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "kind: nas_bench_201\nnodes: 3\noperations: [a, b, c]\n"
        "edges: {1<-0: [a, b, c], 2<-0: [a], 2<-1: [a, b, c]}\n"
    )
    return get_space(str(path))


@pytest.fixture(scope="session")
def additive(space: SearchSpace) -> Callable[..., np.ndarray]:
    """Makes the values of all architectures: a sum over the edges, of variance 1, and pairs of edges."""
    ops = space.ops_table().astype(int)

    def make(rng: np.random.Generator, *, pairs: float = 0.0) -> np.ndarray:
        """``(size,)`` values of mean 0 and variance 1, of which pairs of edges make the share ``pairs``."""
        n_edges, n_ops = space.n_edges, len(space.operations)
        single = rng.normal(size=(n_edges, n_ops))[np.arange(n_edges), ops].sum(axis=1)
        double = np.zeros(space.size)
        for i in range(n_edges):
            for j in range(i):
                double += rng.normal(size=(n_ops, n_ops))[ops[:, i], ops[:, j]]
        values = np.sqrt(1 - pairs) * _standard(single) + np.sqrt(pairs) * _standard(double)
        return _standard(values)

    return make


@pytest.fixture(scope="session")
def search(space: SearchSpace) -> Callable[..., tuple[list[Proposal], list[Score]]]:
    """Runs a search for the lowest of given values."""

    def run(
        spec: object, values: np.ndarray, *, seed: int = 0, n_unique: int | None = None
    ) -> tuple[list[Proposal], list[Score]]:
        """The proposals and the scores of a search; it ends early after ``n_unique`` architectures."""
        searcher = spec.start(SearchContext(space, Objective(METRIC, "min"), seed))
        proposals, scores, seen = [], [], set()
        while (proposal := searcher.ask()) is not None:
            index = space.index(proposal.architecture)
            seen.add(index)
            if n_unique is not None and len(seen) > n_unique:
                break
            proposals.append(proposal)
            score = searcher.tell(proposal.id, Report({METRIC: float(values[index])}, epoch=1, cost_s=2.0))
            if score is not None:
                scores.append(score)
        return proposals, scores

    return run


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() or 1.0)
