"""Replayed random searches against plain loops, their draws, and the signs that noise explains."""

from __future__ import annotations

import numpy as np
import pytest

from raynas.analysis.neighborhoods import balls, criteria, neighbor_variance
from raynas.analysis.random_search import best_drawn, draw, expected_unique, found
from raynas.analysis.rank_correlation import kendall_tau
from raynas.analysis.selections import best, halves
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


def drawn(members, **options):
    given = {"repeats": 40, "n_steps": 30, "n_nbr": 10, "seed": 0} | options
    return draw(np.random.default_rng(given.pop("seed")), members, **given)


def test_a_subset_holds_its_reference_first_no_architecture_twice_and_neighbors_only(space, members):
    some = drawn(members)
    ops = space.ops_table()[some.members]
    assert some.members.shape == (40, 30, 10)
    assert ((ops != ops[:, :, :1]).sum(axis=-1) <= 1).all()
    assert (np.diff(np.sort(some.members, axis=-1), axis=-1) > 0).all()


def test_every_neighbor_is_drawn_equally_often(members):
    some = drawn(members, repeats=400, n_nbr=4)
    place = (members[some.references][:, :, None, :] == some.members[..., None]).argmax(axis=-1)
    counts = np.bincount(place[..., 1:].ravel(), minlength=25)
    assert counts[0] == 0
    # 1,500 expected of each of 24; five standard deviations of a binomial.
    assert abs(counts[1:] - 1_500).max() < 5 * np.sqrt(1_500)


@pytest.mark.parametrize("n_nbr", [1, 10, 25])
def test_equal_generators_draw_equal_references_whatever_the_neighborhood(members, n_nbr):
    np.testing.assert_array_equal(drawn(members, n_nbr=n_nbr).references, drawn(members).references)


@pytest.mark.parametrize(("n_nbr", "expected"), [(10, 968.97), (25, 2311.96)])
def test_the_unique_budget_is_what_is_expected_of_it(members, n_nbr, expected):
    some = drawn(members, repeats=200, n_steps=100, n_nbr=n_nbr)
    assert some.nominal == 100 * n_nbr
    assert expected_unique(15_625, n_steps=100, n_nbr=n_nbr) == pytest.approx(expected, abs=0.005)
    error = some.unique.std() / np.sqrt(200)
    assert some.unique.mean() == pytest.approx(expected, abs=3 * error)
    assert some.unique.max() <= some.nominal
    assert some.unique[0] == len(set(some.members[0].ravel().tolist()))


@pytest.mark.parametrize("name", AGGREGATORS)
def test_na_rs_is_a_plain_loop(members, name):
    costs = np.random.default_rng(3).integers(0, 30, size=15_625).astype(float)  # many ties
    some = drawn(members, repeats=20)
    returned = found(costs, some, AGGREGATORS)[name]
    for search, result in zip(some.members.tolist(), returned.tolist(), strict=True):
        incumbent, least = None, np.inf
        for subset in search:
            score = float(AGGREGATORS[name](np.array([costs[member] for member in subset])))
            if score < least:
                incumbent, least = subset[0], score
        assert result == incumbent


@pytest.mark.parametrize("name", AGGREGATORS)
@pytest.mark.parametrize("d", [0, 1])
def test_neighborhoods_of_one_make_na_rs_random_search(space, name, d):
    members = balls(space, d)
    costs = np.random.default_rng(4).normal(size=space.size)
    some = drawn(members, n_nbr=1)
    returned = found(costs, some, {name: AGGREGATORS[name]})[name]
    np.testing.assert_array_equal(returned, best_drawn(costs, some.references))


def test_on_constant_costs_the_first_reference_is_returned(members):
    some = drawn(members)
    for returned in found(np.full(15_625, 7.7), some, AGGREGATORS).values():
        np.testing.assert_array_equal(returned, some.references[:, 0])


def test_costs_in_another_unit_return_the_same_architectures(members):
    costs = np.random.default_rng(5).normal(size=15_625)
    some = drawn(members)
    before, after = found(costs, some, AGGREGATORS), found(8 * costs + 3, some, AGGREGATORS)
    for name, returned in before.items():
        np.testing.assert_array_equal(after[name], returned)


@pytest.mark.parametrize("n_nbr", [0, 26])
def test_more_neighbors_than_there_are_is_refused(members, n_nbr):
    with pytest.raises(InputError, match=f"n_nbr: {n_nbr} must be from 1 to the 25"):
        drawn(members, n_nbr=n_nbr)


# The denoiser: on a landscape with interactions, readings with the noise of a half-trained network show every
# sign of the paper; without noise random search wins.


@pytest.fixture(scope="module")
def landscape(space):
    """Final errors with additive terms, weaker interactions and a long tail, as trained cells have."""
    rng = np.random.default_rng(0)
    ops = space.ops_table()
    height = rng.normal(size=(6, 5))[np.arange(6), ops].sum(axis=1)
    for i in range(6):
        for j in range(i):
            height += rng.normal(scale=0.45, size=(5, 5))[ops[:, i], ops[:, j]]
    height = (height - height.mean()) / height.std()
    return 10 - 2.5 * np.tanh(height) + 1.5 * np.exp(-height)


def test_a_noisy_reading_shows_every_sign_of_the_paper(landscape, members):
    rng = np.random.default_rng(7)
    costs = landscape + rng.normal(scale=1.5, size=landscape.size)
    scores = criteria(costs, members, AGGREGATORS)
    assert kendall_tau(scores["mean"], landscape) > kendall_tau(costs, landscape) + 0.05
    flat, sharp = halves(best(rng, costs, 100, 1), neighbor_variance(costs, members))
    assert landscape[flat].mean() < landscape[sharp].mean()
    assert abs(costs[flat].mean() - costs[sharp].mean()) < 1.5 / 4
    top = {name: landscape[best(rng, scores[name], 100, 1)].mean() for name in ("base", "mean")}
    assert top["mean"] < top["base"]
    na = found(costs, drawn(members, repeats=300, n_steps=100), AGGREGATORS)["mean"]
    rs = best_drawn(costs, drawn(members, repeats=300, n_steps=1000, n_nbr=1, seed=1).references)
    assert landscape[na].mean() < landscape[rs].mean()


def test_without_noise_random_search_wins(landscape, members):
    na = found(landscape, drawn(members, repeats=300, n_steps=100), AGGREGATORS)["mean"]
    rs = best_drawn(landscape, drawn(members, repeats=300, n_steps=1000, n_nbr=1, seed=1).references)
    assert landscape[rs].mean() < landscape[na].mean()
