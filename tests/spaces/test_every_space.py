"""Laws of every search space that is shipped, found by listing the directory."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas import assets
from raynas.errors import InputError
from raynas.spaces import ABSENT, Architecture, get_space

SPACES = assets.names("search_spaces")
every_space = pytest.mark.parametrize("name", SPACES)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def drawn(name, seed, count):
    space, rng = get_space(name), np.random.default_rng(seed)
    return space, [space.sample(rng) for _ in range(count)]


@every_space
@few
@given(seed=seeds)
def test_the_notation_reads_back(name, seed):
    space, (a,) = drawn(name, seed, 1)
    assert space.parse(str(a)) == a
    assert str(a) == space.format(a)


@every_space
@few
@given(seed=seeds)
def test_index_and_at_are_inverse(name, seed):
    space, (a,) = drawn(name, seed, 1)
    assert 0 <= space.index(a) < space.size
    assert space.at(space.index(a)) == a


@every_space
def test_the_first_and_the_last_index_are_architectures_and_those_beyond_are_refused(name):
    space = get_space(name)
    assert space.index(space.at(0)) == 0
    assert space.index(space.at(space.size - 1)) == space.size - 1
    for outside in (-1, space.size):
        with pytest.raises(InputError, match=f"no architecture {outside}"):
            space.at(outside)


@every_space
@few
@given(seed=seeds)
def test_the_distance_is_a_metric(name, seed):
    space, (a, b, c) = drawn(name, seed, 3)
    b, c = space.mutate(np.random.default_rng(seed), a), space.parse(str(c))
    assert space.distance(a, a) == 0
    assert space.distance(a, b) == space.distance(b, a) == 1
    assert space.distance(a, c) == space.distance(c, a)
    assert (space.distance(a, c) == 0) == (a == c)
    assert space.distance(a, c) <= space.distance(a, b) + space.distance(b, c)


@every_space
@few
@given(seed=seeds, d=st.integers(1, 4))
def test_sampled_neighbours_are_distinct_valid_and_within_the_ball(name, seed, d):
    space, (a,) = drawn(name, seed, 1)
    for law in ("uniform", "perturb_d"):
        found = space.sample_ball(np.random.default_rng(seed), a, d, 12, law=law)
        assert len(set(found)) == 12
        assert a not in found
        assert all(space.architecture(x.ops) == x and space.distance(a, x) <= d for x in found)


@every_space
@few
@given(seed=seeds)
def test_being_a_neighbour_is_mutual(name, seed):
    space, (a,) = drawn(name, seed, 1)
    b = space.mutate(np.random.default_rng(seed), a)
    assert b in space.neighbors(a)
    assert a in space.neighbors(b)


@every_space
@few
@given(seed=seeds)
def test_neighbours_come_once_in_the_order_of_their_index_and_as_many_as_counted(name, seed):
    space, (a,) = drawn(name, seed, 1)
    indices = [space.index(x) for x in space.neighbors(a)]
    assert indices == sorted(set(indices))
    assert len(indices) == space.sphere_size(a, 1) == space.ball_size(a, 1) - 1


@every_space
@few
@given(seed=seeds)
def test_the_answers_of_an_architecture_rebuild_it(name, seed):
    space, (a,) = drawn(name, seed, 1)
    answers = space.decisions(a)
    asked = []

    def choose(parameter, choices):
        asked.append(parameter)
        assert len(choices) > 1, "a question with one answer is not worth asking"
        assert answers[parameter] in choices
        return answers[parameter]

    assert space.suggest(choose) == a
    assert asked == list(answers)


@every_space
@few
@given(seed=seeds)
def test_a_parameter_has_the_same_choices_whenever_it_is_asked(name, seed):
    space, rng = get_space(name), np.random.default_rng(seed)
    offered = {}

    def choose(parameter, choices):
        assert offered.setdefault(parameter, choices) == choices
        return str(rng.choice(choices))

    for _ in range(3):
        space.suggest(choose)


@every_space
def test_architectures_and_spaces_survive_pickling(name):
    space, (a,) = drawn(name, 0, 1)
    assert pickle.loads(pickle.dumps(a)) == a
    assert pickle.loads(pickle.dumps(space)) is space


@every_space
def test_a_discrete_architecture_never_has_more_than_its_edges_may_choose(name):
    space, found = drawn(name, 0, 50)
    for a in found:
        for edge, op in zip(space.edges, a.ops, strict=True):
            assert op == ABSENT or op in edge.selectable


@every_space
@few
@given(text=st.text(max_size=60))
def test_a_text_that_is_no_architecture_is_refused_with_an_example(name, text):
    space = get_space(name)
    with pytest.raises(InputError) as refused:
        space.parse(text)
    assert str(refused.value).startswith(f"{name}: ")
    assert repr(str(space.at(0))) in str(refused.value)


def test_architectures_are_values_that_hash_and_sort_by_space_then_operations():
    a, b = Architecture("x", (0, 1)), Architecture("x", (1, 0))
    assert len({a, b, Architecture("x", (0, 1))}) == 2
    assert sorted([Architecture("y", (0,)), b, a]) == [a, b, Architecture("y", (0,))]


def test_an_architecture_of_another_space_is_refused():
    nas_bench_201, darts = get_space("nas_bench_201"), get_space("darts")
    with pytest.raises(InputError, match="of nas_bench_201 was given to darts"):
        darts.index(nas_bench_201.at(0))


def test_a_space_too_large_to_enumerate_makes_no_tables():
    with pytest.raises(InputError, match="up to 10,000,000"):
        get_space("darts").neighbor_indices()
    with pytest.raises(InputError, match="up to 10,000,000"):
        get_space("darts_s2").ops_table()
