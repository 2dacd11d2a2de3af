"""Neighborhoods of a whole space against plain loops, and the identities that they obey."""

from __future__ import annotations

import numpy as np
import pytest

from raynas.analysis.neighborhoods import balls, criteria, neighbor_variance
from raynas.analysis.rank_correlation import kendall_tau
from raynas.errors import InputError
from raynas.lookup import available, build
from raynas.spaces import get_space

SLOT = "raynas.flatness.aggregator"
AGGREGATORS = {name: build(SLOT, name) for name in available(SLOT)}


@pytest.fixture(scope="module")
def space():
    return get_space("nas_bench_201")


@pytest.fixture(scope="module")
def members(space):
    return balls(space, 1)


@pytest.mark.parametrize(("d", "n_ball"), [(0, 1), (1, 25), (2, 265)])
def test_a_ball_holds_its_centre_first_and_every_architecture_within_d_once(space, d, n_ball):
    ball = balls(space, d)
    assert ball.shape == (15_625, n_ball)
    np.testing.assert_array_equal(ball[:, 0], np.arange(15_625))
    ops = space.ops_table()
    for index in (0, 7_812, 15_624):
        near = np.flatnonzero((ops != ops[index]).sum(axis=1) <= d)
        assert sorted(ball[index].tolist()) == near.tolist()


def test_being_neighbors_is_mutual(members):
    for index in (3, 999, 15_000):
        assert all(index in members[other] for other in members[index])


@pytest.mark.parametrize("d", [-1, 7])
def test_a_radius_that_is_none_is_refused(space, d):
    with pytest.raises(InputError, match=f"d: {d} is no radius"):
        balls(space, d)


def test_criteria_are_those_of_a_plain_loop(space, members):
    costs = np.random.default_rng(0).normal(20, 5, size=space.size)
    found = criteria(costs, members, AGGREGATORS)
    assert next(iter(found)) == "base"
    variance = neighbor_variance(costs, members)
    for index in (0, 31, 4_242, 15_624):
        a = space.at(index)
        values = [costs[index], *(costs[space.index(b)] for b in space.neighbors(a, 1))]
        mean = sum(values) / 25
        sigma = (sum((value - mean) ** 2 for value in values) / 25) ** 0.5
        assert found["base"][index] == costs[index]
        assert found["mean"][index] == pytest.approx(mean)
        assert found["median"][index] == sorted(values)[12]
        assert found["max"][index] == max(values)
        assert found["variance"][index] == pytest.approx(costs[index] + sigma)
        assert variance[index] == pytest.approx(sigma**2)


def test_a_hand_made_neighborhood_has_the_closed_forms_of_its_numbers():
    # 10 is the reference; ddof 1 would give 15.2915 for the variance aggregator.
    costs, members = np.array([10.0, 12.0, 20.0]), np.array([[0, 1, 2]], dtype=np.int32)
    found = {name: of(costs[members])[0] for name, of in AGGREGATORS.items()}
    assert found["mean"] == 14
    assert found["median"] == 12
    assert found["max"] == 20
    assert found["variance"] == pytest.approx(10 + np.sqrt(56 / 3))
    assert AGGREGATORS["median"](np.array([10.0, 12.0, 20.0, 30.0])) == 16


def test_on_an_additive_landscape_the_mean_ranks_exactly_as_the_costs_do(space, members):
    weights = np.random.default_rng(1).normal(size=(6, 5))
    costs = weights[np.arange(6), space.ops_table()].sum(axis=1)
    mean = criteria(costs, members, AGGREGATORS)["mean"]
    np.testing.assert_allclose(mean, 0.8 * costs + weights.sum() / 25)
    assert kendall_tau(mean, costs) == pytest.approx(1.0)


def test_a_flat_landscape_has_no_variance_and_equal_criteria(space, members):
    costs = np.full(space.size, 33.3)
    assert not neighbor_variance(costs, members).any()
    for scores in criteria(costs, members, AGGREGATORS).values():
        assert (scores == 33.3).all()


def test_renaming_operations_renames_the_criteria_and_changes_nothing_else(space, members):
    costs = np.random.default_rng(2).normal(size=space.size)
    renamed = np.array([3, 0, 4, 1, 2])[space.ops_table()] @ 5 ** np.arange(5, -1, -1)
    moved = np.empty_like(costs)
    moved[renamed] = costs
    before, after = criteria(costs, members, AGGREGATORS), criteria(moved, members, AGGREGATORS)
    for name, scores in before.items():
        np.testing.assert_allclose(after[name][renamed], scores)
