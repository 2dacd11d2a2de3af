"""The ranking predictor as a whole: it learns, repeats itself, and keeps to itself."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from raynas.errors import InputError
from raynas.predictors.ranking import RankingPredictor
from raynas.spaces import ABSENT, get_space

QUICK = {"epochs": 20, "hidden": 32, "layers": 2}
ENCODERS = ["gin", "mlp"]
SPACES = ["nas_bench_201", "darts", "darts_s1", "darts_s2", "darts_s3", "darts_s4", "darts_s5"]


def sampled(name, n, seed=0):
    space, rng = get_space(name), np.random.default_rng(seed)
    found = []
    while len(found) < n:
        if (one := space.sample(rng)) not in found:
            found.append(one)
    return found


def additive(architectures, *, shared=False):
    """Values of a made-up benchmark, additive in the operations of the edges.

    Args:
        architectures: Of one search space.
        shared: An operation is worth the same on every edge.
    """
    space = get_space(architectures[0].space)
    worth = np.random.default_rng(11).normal(size=(space.n_edges, len(space.operations)))
    ops = np.array([one.ops for one in architectures])
    edges = np.zeros(space.n_edges, dtype=int) if shared else np.arange(space.n_edges)
    return np.where(ops == ABSENT, 0, worth[edges, ops]).sum(axis=1)


def keys_of(architectures, *, shared=False):
    return [(0, value) for value in additive(architectures, shared=shared).tolist()]


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_additive_landscape_is_learned_from_100(encoder, loss):
    # A graph network learns what operations are worth wherever they are; that each edge has a worth of its
    # own for each operation is the one-hot encoder's to learn.
    shared = encoder == "gin"
    architectures = sampled("nas_bench_201", 600)
    pool, others = architectures[:100], architectures[100:]
    predictor = RankingPredictor(encoder=encoder, loss=loss, hidden=64, epochs=100)
    scores = predictor.fit(pool, keys_of(pool, shared=shared), seed=0).score(others)
    assert kendalltau(scores, additive(others, shared=shared)).statistic > 0.8


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("name", SPACES)
def test_the_pool_itself_is_ranked_in_every_space(name, encoder):
    pool = sampled(name, 24)
    fitted = RankingPredictor(encoder=encoder, epochs=60, hidden=32, layers=3).fit(
        pool, keys_of(pool), seed=0
    )
    scores = fitted.score(pool)
    assert scores.dtype == np.float64
    assert kendalltau(scores, additive(pool)).statistic > 0.8


def test_levels_are_learned_and_values_of_different_levels_are_not_compared():
    pool = sampled("nas_bench_201", 40)
    # Values within a level are right, but the higher level reads lower, as another metric might.
    levels = additive(pool) > np.median(additive(pool))
    keys = [(int(level), value - 50 * level) for level, (_, value) in zip(levels, keys_of(pool), strict=True)]
    scores = RankingPredictor(hidden=64).fit(pool, keys, seed=0).score(pool)
    assert scores[levels].min() > scores[~levels].max()
    raised = [(level, value + 64 * level) for level, value in keys]
    quick = RankingPredictor(**QUICK)
    np.testing.assert_array_equal(
        quick.fit(pool, raised, seed=0).score(pool), quick.fit(pool, keys, seed=0).score(pool)
    )


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_fit_depends_on_its_seed_alone_and_draws_from_no_global_state(encoder):
    pool, others = sampled("darts", 12), sampled("darts", 12, seed=1)
    predictor = RankingPredictor(encoder=encoder, ensemble=2, batch=64, **QUICK)

    def scores(seed):
        return predictor.fit(pool, keys_of(pool), seed=seed).score(others)

    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = scores(3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    torch.manual_seed(99)
    np.testing.assert_array_equal(scores(3), first)
    assert not np.allclose(scores(4), first)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_score_does_not_depend_on_what_else_is_scored(encoder):
    pool, others = sampled("nas_bench_201", 20), sampled("nas_bench_201", 1500, seed=1)
    fitted = RankingPredictor(encoder=encoder, **QUICK).fit(pool, keys_of(pool), seed=0)
    together = fitted.score(others)
    alone = np.concatenate([fitted.score([one]) for one in others[1020:1030]])
    np.testing.assert_allclose(alone, together[1020:1030], atol=1e-5)
    assert fitted.score([]).shape == (0,)


def test_the_order_in_which_a_pool_is_listed_matters_as_little_as_rounding():
    pool = sampled("nas_bench_201", 20)
    keys = keys_of(pool)
    predictor = RankingPredictor(**QUICK)
    there, back = predictor.fit(pool, keys, seed=0), predictor.fit(pool[::-1], keys[::-1], seed=0)
    np.testing.assert_allclose(back.score(pool), there.score(pool), atol=0.05)


def test_scores_of_a_pool_are_standardised_and_an_ensemble_is_their_mean():
    pool = sampled("nas_bench_201", 20)
    fitted = RankingPredictor(ensemble=3, **QUICK).fit(pool, keys_of(pool), seed=0)
    parts = [type(fitted)(fitted.space, fitted.encoder, (member,)).score(pool) for member in fitted.members]
    for scores in parts:
        assert scores.mean() == pytest.approx(0, abs=1e-5)
        assert scores.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(fitted.score(pool), np.mean(parts, axis=0), atol=1e-12)


def test_the_probability_of_a_pair_is_antisymmetric_and_agrees_with_the_scores():
    pool = sampled("nas_bench_201", 12)
    fitted = RankingPredictor(**QUICK).fit(pool, keys_of(pool), seed=0)
    scores = fitted.score(pool)
    for a, b in pairwise(pool):
        assert fitted.probability(a, b) + fitted.probability(b, a) == pytest.approx(1, abs=1e-6)
        assert (fitted.probability(a, b) > 0.5) == (scores[pool.index(a)] > scores[pool.index(b)])
    assert fitted.probability(pool[0], pool[0]) == 0.5


@pytest.mark.parametrize("keys", [[(0, 90.0)], [(0, 90.0)] * 5], ids=["one member", "all equal"])
def test_a_pool_without_a_pair_prefers_nothing(keys):
    pool = sampled("nas_bench_201", 9)
    fitted = RankingPredictor().fit(pool[: len(keys)], keys, seed=0)
    np.testing.assert_array_equal(fitted.score(pool), 0)
    assert fitted.probability(*pool[:2]) == 0.5
    with pytest.raises(InputError, match="darts was given"):
        fitted.score(sampled("darts", 1))


def test_what_cannot_be_fitted_or_scored_is_refused():
    pool = sampled("nas_bench_201", 4)
    predictor = RankingPredictor(**QUICK)
    with pytest.raises(InputError, match="pool is empty"):
        predictor.fit([], [], seed=0)
    with pytest.raises(InputError, match="4 architectures and 3 keys"):
        predictor.fit(pool, keys_of(pool)[:3], seed=0)
    with pytest.raises(InputError, match="darts was given to nas_bench_201"):
        predictor.fit([*pool, *sampled("darts", 1)], [(0, n) for n in range(5)], seed=0)
    with pytest.raises(InputError, match="darts was given to nas_bench_201"):
        predictor.fit(pool, keys_of(pool), seed=0).score(sampled("darts", 1))
    with pytest.raises(InputError, match="smaller learning_rate"):
        RankingPredictor(encoder="mlp", learning_rate=1e30, **QUICK).fit(pool, keys_of(pool), seed=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ensemble", 0),
        ("epochs", 0),
        ("batch", 0),
        ("hidden", 1),
        ("layers", 0),
        ("margin", 0.0),
        ("learning_rate", float("inf")),
        ("weight_decay", -1e-4),
    ],
)
def test_a_hyperparameter_out_of_its_range_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        RankingPredictor(**{field: value})


def test_configuring_a_predictor_does_not_load_torch():
    code = "from raynas.predictors.ranking import RankingPredictor; RankingPredictor()"
    check = "\nimport sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code + check]).returncode == 0
