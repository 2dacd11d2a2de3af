"""Searchers that learn beat random search at equal numbers of architectures trained."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from raynas.lookup import build
from raynas.search.asktell import Objective, Report, SearchContext
from raynas.search.searcher.local_search import LocalSearch
from raynas.search.searcher.random_search import RandomSearch

N_UNIQUE = 100


def rank_found(search, space, values, spec, seed):
    """How many architectures are better than the best that a search found."""
    proposals, _ = search(spec, values, seed=seed, n_unique=N_UNIQUE)
    assert len({one.architecture for one in proposals}) == N_UNIQUE
    return np.sum(values < min(values[space.index(one.architecture)] for one in proposals))


AMPLE = {"n_proposals": 20 * N_UNIQUE}
FIVE_GENERATIONS = {"population_size": 20, "top_k": 5, "n_mutation": 10, "n_crossover": 10, "generations": 5}


@pytest.mark.parametrize(
    ("name", "options", "n_seeds"),
    [
        ("regularized_evolution", AMPLE, 30),
        ("evolution_oneshot", FIVE_GENERATIONS, 20),
        ("local_search", AMPLE, 20),
        ("optuna", AMPLE, 8),
    ],
)
def test_a_searcher_that_learns_beats_random_search(name, options, n_seeds, search, space, additive):
    landscapes = [additive(np.random.default_rng(seed)) for seed in range(30)]
    spec = build("raynas.search.searcher", name, **options)
    baseline = RandomSearch(n_proposals=20 * N_UNIQUE)
    found = [rank_found(search, space, landscapes[seed], spec, seed) for seed in range(n_seeds)]
    at_random = [rank_found(search, space, values, baseline, seed) for seed, values in enumerate(landscapes)]
    assert mannwhitneyu(found, at_random, alternative="less").pvalue < 0.01


def test_local_search_finds_the_optimum_of_an_additive_landscape(search, space, additive):
    # Without interaction every step fixes one edge for good: 10 starts and 6 steps of at most 24 reach it.
    for seed in range(5):
        values = additive(np.random.default_rng(seed))
        _, scores = search(LocalSearch(n_proposals=10 + 6 * 24), values, seed=seed)
        assert min(score.value for score in scores) == values.min()


def test_local_search_ends_when_the_space_is_used_up(tiny_space):
    searcher = LocalSearch(n_initial=4).start(SearchContext(tiny_space, Objective("loss", "min")))
    found = []
    while (proposal := searcher.ask()) is not None:
        found.append(proposal.architecture)
        searcher.tell(proposal.id, Report({"loss": float(sum(proposal.architecture.ops))}, epoch=1))
    assert len(found) == len(set(found)) == tiny_space.size
    assert searcher.ask() is None


def test_local_search_never_proposes_an_architecture_twice(search, additive):
    values = additive(np.random.default_rng(0), pairs=0.9)  # rugged, so that it starts again and again
    proposals, _ = search(LocalSearch(n_proposals=3000), values)
    assert len({one.architecture for one in proposals}) == 3000
