"""The laws of every aggregator of a neighborhood's costs."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from raynas.lookup import available, build

SLOT = "raynas.flatness.aggregator"

every_aggregator = pytest.mark.parametrize("name", available(SLOT))
cost = st.floats(-1e3, 1e3)
costs_of_one = arrays(float, st.integers(1, 12), elements=cost)


@every_aggregator
@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_aggregating_equal_values_returns_that_value(name, n):
    assert build(SLOT, name)(np.full(n, 91.3)) == pytest.approx(91.3)


@every_aggregator
@given(reference=cost)
def test_a_reference_without_neighbors_costs_what_it_costs(name, reference):
    assert build(SLOT, name)(np.array([reference])) == reference


@every_aggregator
@given(costs=costs_of_one, scale=st.floats(1e-2, 1e2), shift=cost)
def test_scaling_and_shifting_the_costs_scales_and_shifts_the_result(name, costs, scale, shift):
    aggregator = build(SLOT, name)
    expected = scale * aggregator(costs) + shift
    assert aggregator(scale * costs + shift) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@every_aggregator
@given(costs=costs_of_one, seed=st.integers(0, 10**6))
def test_the_order_of_the_neighbors_does_not_matter(name, costs, seed):
    shuffled = np.concatenate([costs[:1], np.random.default_rng(seed).permutation(costs[1:])])
    aggregator = build(SLOT, name)
    assert aggregator(shuffled) == pytest.approx(aggregator(costs), rel=1e-12, abs=1e-9)


@every_aggregator
@given(costs=costs_of_one)
def test_a_neighbor_that_diverges_never_improves_a_neighborhood(name, costs):
    aggregator = build(SLOT, name)
    worse = costs.copy()
    worse[1:2] = np.inf  # pytest turns a warning of NumPy into an error
    assert aggregator(worse) >= aggregator(costs) - 1e-9


@every_aggregator
@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_a_neighborhood_that_diverged_is_infinite(name, n):
    assert build(SLOT, name)(np.full(n, np.inf)) == np.inf


@pytest.mark.parametrize("name", ["max", "mean", "variance"])
@pytest.mark.parametrize("position", [0, 3])
def test_one_diverged_member_rejects_the_neighborhood(name, position):
    costs = np.linspace(10.0, 20.0, 5)
    costs[position] = np.inf
    assert build(SLOT, name)(costs) == np.inf


@every_aggregator
@given(
    costs=arrays(
        float,
        array_shapes(min_dims=2, max_dims=3, max_side=9),
        elements=st.one_of(cost, st.just(np.inf)),
    )
)
def test_many_neighborhoods_at_once_give_what_each_gives(name, costs):
    aggregator = build(SLOT, name)
    rows = [aggregator(row) for row in costs.reshape(-1, costs.shape[-1])]
    np.testing.assert_array_equal(aggregator(costs), np.reshape(rows, costs.shape[:-1]))
    transposed = np.asfortranarray(costs)
    np.testing.assert_array_equal(aggregator(transposed), aggregator(costs))


@every_aggregator
def test_the_costs_given_are_left_alone(name):
    costs = np.array([3.0, np.inf, 1.0, 2.0])
    build(SLOT, name)(costs)
    np.testing.assert_array_equal(costs, [3.0, np.inf, 1.0, 2.0])


@every_aggregator
def test_an_aggregator_is_a_value(name):
    aggregator = build(SLOT, name)
    assert pickle.loads(pickle.dumps(aggregator)) == aggregator
    assert hash(aggregator) == hash(build(SLOT, name))
    for field in fields(aggregator):
        with pytest.raises(FrozenInstanceError):
            setattr(aggregator, field.name, None)
