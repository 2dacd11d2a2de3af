"""One-shot evolution: its generations, its operators, its limits, and what it finds."""

from __future__ import annotations

import re

import numpy as np
import pytest

from raynas.errors import InputError
from raynas.search.asktell import Failure, Objective, Report, SearchContext
from raynas.search.searcher.evolution_oneshot import EvolutionOneshot
from raynas.spaces import ABSENT, get_space

OBJECTIVE = Objective("score", "max")
RLNAS = EvolutionOneshot(population_size=100, top_k=30, n_mutation=50, n_crossover=50)


def sum_of_ops(architecture):
    return float(sum(architecture.ops))


def generations(spec, space, *, score=sum_of_ops, seed=0, flops_m=None):
    """The candidates of each generation; each is told as a whole, the last candidate first."""
    searcher = spec.start(SearchContext(space, OBJECTIVE, seed, flops_m=flops_m))
    found = []
    while True:
        asked = []
        while (proposal := searcher.ask()) is not None:
            asked.append(proposal)
        if not asked:
            return found
        for one in reversed(asked):
            value = score(one.architecture)
            outcome = Failure("diverged", "nan") if value is None else Report({"score": value}, epoch=1)
            searcher.tell(one.id, outcome)
        found.append([one.architecture for one in asked])


def best(k, candidates):
    return sorted(candidates, key=sum_of_ops, reverse=True)[:k]


@pytest.mark.parametrize("spec", [EvolutionOneshot(), RLNAS], ids=["GeNAS", "RLNAS"])
def test_it_finds_the_optimum_of_a_separable_score_on_nas_bench_201_within_20_generations(space, spec):
    for seed in range(5):
        found = generations(spec, space, seed=seed)
        assert max(sum_of_ops(one) for generation in found for one in generation) == 6 * 4


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "darts_s1", "darts_s4", "darts_s5"])
@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_generations_are_of_exact_size_and_no_candidate_comes_twice(name, probability):
    spec = EvolutionOneshot(mutation_probability=probability)
    there = get_space(name)
    found = generations(spec, there)
    assert [len(generation) for generation in found] == [50] * 20
    everyone = [one for generation in found for one in generation]
    assert len(set(everyone)) == 1000 == spec.n_evaluations(there)
    assert all(there.at(there.index(one)) == one for one in everyone)


def test_a_crossover_takes_every_gene_from_a_parent(space):
    spec = EvolutionOneshot(population_size=60, top_k=10, generations=2, n_mutation=0, n_crossover=20)
    first, second = generations(spec, space)
    genes = np.array([one.ops for one in best(10, first)])
    children = np.array([one.ops for one in second[:20]])
    assert all((child == genes).any(axis=0).all() for child in children)
    # two random parents are drawn with replacement, but a child that is its parents is no new candidate
    assert not (children[:, None] == genes).all(axis=2).any()


@pytest.mark.parametrize("wanted", [None, True])
def test_mutation_draws_none_on_nas_bench_201_only_where_it_is_told_to(space, wanted):
    spec = EvolutionOneshot(
        population_size=100, top_k=1, generations=2, n_mutation=100, n_crossover=0, mutate_none=wanted
    )
    made_none = 0
    for seed in range(10):
        first, second = generations(spec, space, seed=seed)
        (parent,) = best(1, first)
        changed = [
            (old, new)
            for child in second
            if space.distance(parent, child) <= 2  # a random candidate is hardly ever so near
            for old, new in zip(parent.ops, child.ops, strict=True)
            if old != new
        ]
        assert {new for _, new in changed} >= {1, 2, 3, 4}
        made_none += sum(new == 0 for _, new in changed)
    assert (made_none > 100) == bool(wanted)


@pytest.mark.parametrize("wanted", [True, False])
def test_without_mutate_reduce_reduction_cells_are_those_of_the_parents(wanted):
    space = get_space("darts")
    spec = EvolutionOneshot(n_crossover=0, mutate_reduce=wanted, generations=8)
    found = generations(spec, space)
    known = {one.ops[14:] for one in found[0]}
    inherited = []
    for generation in found[1:]:
        inherited += [one.ops[14:] in known for one in generation[: spec.n_mutation]]
        known.update(one.ops[14:] for one in generation)
    assert all(inherited) == (not wanted)
    # a mutation leaves the 14 genes of a cell alone with probability 0.9^14 = 0.23
    assert wanted is False or 0.1 < np.mean(inherited) < 0.5


def test_a_gene_drawn_anew_is_uniform_over_the_operations(space):
    spec = EvolutionOneshot(
        population_size=400, top_k=1, generations=2, n_mutation=100, n_crossover=0, mutation_probability=1.0
    )
    _, second = generations(spec, space)
    assert not any(0 in one.ops for one in second[:100]), "all genes are drawn anew, and none is not drawn"
    counts = np.bincount(np.ravel([one.ops for one in second[:100]]), minlength=5)
    assert np.all(np.abs(counts[1:] - 150) < 4 * np.sqrt(600 * 3 / 16))


def test_the_parents_are_the_best_of_all_generations_so_far(space):
    def rugged(architecture):
        return float(space.index(architecture) * 7919 % 15_625)  # so that a parent outlives its children

    spec = EvolutionOneshot(population_size=20, top_k=1, generations=4, n_mutation=5, n_crossover=0)
    for seed in range(5):
        found = generations(spec, space, score=rugged, seed=seed)
        for number in range(1, 4):
            earlier = [one for generation in found[:number] for one in generation]
            parent = max(earlier, key=rugged)
            # of six genes each is changed with probability 0.075
            assert max(space.distance(parent, child) for child in found[number][:5]) <= 3


def test_candidates_that_fail_have_no_children(space):
    spec = EvolutionOneshot(population_size=60, top_k=5, generations=5, n_mutation=0, n_crossover=30)
    found = generations(spec, space, score=lambda one: sum_of_ops(one) if one.ops[0] == 3 else None)
    # crossovers of cells with operation 3 on their first edge keep it; few of the random fill have it
    shares = [np.mean([one.ops[0] == 3 for one in generation[:10]]) for generation in found[1:3]]
    assert shares == [1.0, 1.0]


def test_a_space_that_is_used_up_ends_the_search(tiny_space):
    spec = EvolutionOneshot(population_size=4, top_k=2, n_mutation=2, n_crossover=2)
    found = generations(spec, tiny_space)
    assert sorted(one for generation in found for one in generation) == [
        tiny_space.at(index) for index in range(tiny_space.size)
    ]
    assert [len(generation) for generation in found] == [4, 4, 1]
    assert spec.n_evaluations(tiny_space) == 9


@pytest.mark.parametrize("name", ["nas_bench_201", "darts"])
def test_no_candidate_exceeds_the_limit_of_multiply_adds(name):
    space = get_space(name)

    def flops_m(architecture):
        return float(sum(op not in (ABSENT, 0, 1) for op in architecture.ops))

    most = 3.0 if name == "nas_bench_201" else 12.0
    within = EvolutionOneshot(flops_max_m=most)
    found = [one for generation in generations(within, space, flops_m=flops_m) for one in generation]
    assert len(set(found)) == 1000
    assert max(map(flops_m, found)) == most


def test_a_limit_that_nothing_meets_or_nothing_counts_is_refused(space):
    limited = EvolutionOneshot(flops_max_m=0.5)
    with pytest.raises(InputError, match=r"searcher\.flops_max_m: 0\.5 million .* score_subnet, or leave it"):
        limited.start(SearchContext(space, OBJECTIVE))
    with pytest.raises(InputError, match=r"none of 10,000 random .* at most 0\.5 .*, and the least is 7;"):
        limited.start(SearchContext(space, OBJECTIVE, flops_m=lambda architecture: 7.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k: 0 is below 1; give 1 or more"),
        ({"top_k": 51}, "top_k: 51 parents of a population of 50; give at most that"),
        ({"population_size": 0}, "population_size: 0 is below 1"),
        ({"generations": 0}, "generations: 0 is below 1"),
        ({"n_mutation": -1}, "n_mutation: -1 is negative; give 0 or more"),
        ({"n_crossover": 26}, "n_mutation: 25 and 26 by crossover exceed the population of 50"),
        ({"mutation_probability": 1.5}, "mutation_probability: 1.5 is outside [0, 1]"),
        ({"mutation_probability": float("nan")}, "mutation_probability: nan is outside [0, 1]"),
        ({"flops_max_m": 0.0}, "flops_max_m: 0.0 is not above 0; give millions of multiply-adds"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        EvolutionOneshot(**options)
