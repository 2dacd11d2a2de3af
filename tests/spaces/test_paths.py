"""Shortest paths between architectures and their levels (A2M, section 5 of its paper)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.spaces import get_space

NB201, S5 = get_space("nas_bench_201"), get_space("darts_s5")
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def pair_at(space, distance, seed=0):
    rng = np.random.default_rng(seed)
    a = space.sample(rng)
    while True:
        (b,) = space.sample_ball(rng, a, distance, 1)
        if space.distance(a, b) == distance:
            return a, b


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5])
def test_there_are_d_factorial_paths_over_2_to_the_d_architectures(distance):
    a, b = pair_at(NB201, distance)
    paths = list(NB201.shortest_paths(a, b))
    assert len(set(paths)) == len(paths) == math.factorial(distance)
    assert len({x for path in paths for x in path}) == 2**distance
    assert all(path[0] == a and path[-1] == b and len(path) == distance + 1 for path in paths)


@pytest.mark.parametrize("distance", [1, 2, 3, 6])
def test_level_r_holds_d_choose_r_architectures(distance):
    a, b = pair_at(NB201, distance)
    levels = NB201.levels(a, b)
    assert [len(level) for level in levels] == [math.comb(distance, r) for r in range(distance + 1)]
    assert (levels[0], levels[-1]) == ((a,), (b,))


@pytest.mark.parametrize("space", [NB201, S5])
@few
@given(seed=seeds, d=st.integers(1, 5))
def test_levels_are_what_lies_between_and_the_same_backwards(space, seed, d):
    rng = np.random.default_rng(seed)
    a = space.sample(rng)
    (b,) = space.sample_ball(rng, a, d, 1)
    levels = space.levels(a, b)
    distance = space.distance(a, b)
    assert len(levels) == distance + 1
    for r, level in enumerate(levels):
        assert len(set(level)) == len(level)
        assert all(space.distance(a, x) == r and space.distance(x, b) == distance - r for x in level)
    assert space.levels(b, a) == levels[::-1]


@pytest.mark.parametrize("space", [NB201, S5])
@few
@given(seed=seeds, d=st.integers(1, 3))
def test_paths_are_unit_steps_through_all_of_the_levels(space, seed, d):
    rng = np.random.default_rng(seed)
    a = space.sample(rng)
    (b,) = space.sample_ball(rng, a, d, 1)
    paths = list(space.shortest_paths(a, b))
    assert len(set(paths)) == len(paths)
    assert all(space.distance(x, y) == 1 for path in paths for x, y in pairwise(path))
    assert [set(level) for level in zip(*paths, strict=True)] == [set(level) for level in space.levels(a, b)]
    assert {path[::-1] for path in paths} == set(space.shortest_paths(b, a))


def test_levels_are_complete_against_enumeration(uneven_darts):
    everything = [uneven_darts.at(i) for i in range(uneven_darts.size)]
    a, b = everything[3], everything[-5]
    distance = uneven_darts.distance(a, b)
    to_a = [uneven_darts.distance(a, x) for x in everything]
    to_b = [uneven_darts.distance(b, x) for x in everything]
    assert distance >= 5
    assert uneven_darts.levels(a, b) == [
        tuple(x for x, i, j in zip(everything, to_a, to_b, strict=True) if (i, j) == (r, distance - r))
        for r in range(distance + 1)
    ]


def test_a_path_from_an_architecture_to_itself_is_that_architecture():
    a = NB201.at(5)
    assert list(NB201.shortest_paths(a, a)) == [(a,)]
    assert NB201.levels(a, a) == [(a,)]


@few
@given(seed=seeds, d=st.integers(1, 6))
def test_on_an_additive_landscape_level_means_interpolate_the_ends(seed, d):
    # methods-sampling.md section 7, item 29.
    a, b = pair_at(NB201, d, seed)
    weights = np.random.default_rng(seed).normal(size=(6, 5))
    means = [np.mean([weights[range(6), x.ops].sum() for x in level]) for level in NB201.levels(a, b)]
    np.testing.assert_allclose(means, np.linspace(means[0], means[-1], d + 1), atol=1e-9)


def test_two_slots_of_one_node_may_change_in_either_pairing_but_never_share_a_predecessor():
    # Node 3 from {(0, x), (1, x)} to {(1, y), (2, y)}: of the four mixtures, (1, x) with (1, y) is none.
    genotype = str(S5.at(0))
    a = S5.parse(genotype)
    ops = list(a.ops)
    ops[2:5] = -1, 1, 1
    b = S5.architecture(ops)
    assert S5.distance(a, b) == 2
    assert [x.ops[2:5] for x in S5.levels(a, b)[1]] == [(0, 1, -1), (0, -1, 1), (-1, 0, 1)]
    assert len(list(S5.shortest_paths(a, b))) == 3
