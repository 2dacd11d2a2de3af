"""Regularized evolution against its published algorithm, and with failures."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from raynas.search.asktell import Failure, Objective, Report, SearchContext
from raynas.search.searcher.regularized_evolution import RegularizedEvolution

METRIC = "valid_error_pct"


def test_one_at_a_time_it_is_the_published_algorithm(search, space, additive):
    values = additive(np.random.default_rng(0))
    spec = RegularizedEvolution(population_size=8, sample_size=3, n_proposals=100, parallelism=1)
    proposals, _ = search(spec, values, seed=2)

    rng = SearchContext(space, Objective(METRIC, "min"), seed=2).generator("regularized_evolution")
    history = [space.sample(rng) for _ in range(8)]
    population = deque(history)
    while len(history) < 100:
        sample = [population[i] for i in rng.integers(8, size=3)]
        child = space.mutate(rng, min(sample, key=lambda one: values[space.index(one)]))
        history.append(child)
        population.append(child)
        population.popleft()
    assert [one.architecture for one in proposals] == history


@pytest.mark.parametrize("parallelism", [1, 4, 20])
def test_children_come_from_architectures_that_did_not_fail(parallelism, space):
    spec = RegularizedEvolution(n_proposals=300, parallelism=parallelism)
    searcher = spec.start(SearchContext(space, Objective(METRIC, "min")))
    alive, fresh = [], 0
    while (proposal := searcher.ask()) is not None:
        found = proposal.architecture
        fresh += all(space.distance(found, parent) > 1 for parent in alive)
        if sum(found.ops) % 2:
            searcher.tell(proposal.id, Failure("diverged", "odd"))
        else:
            alive.append(found)
            searcher.tell(proposal.id, Report({METRIC: float(sum(found.ops))}, epoch=1))
    # About half of the random ones fail, so some 20 are drawn to fill a population of 10.
    assert 10 <= fresh <= 50
