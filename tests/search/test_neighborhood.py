"""The neighborhood wrapper (NA; Wang et al. 2021): identities, closed forms, failures, noise."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, mannwhitneyu

from raynas.errors import InputError
from raynas.flatness.aggregator.max import Max
from raynas.flatness.aggregator.mean import Mean
from raynas.flatness.aggregator.median import Median
from raynas.flatness.aggregator.variance import Variance
from raynas.lookup import available, build
from raynas.search.asktell import Failure, Objective, Proposal, Report, SearchContext
from raynas.search.searcher.local_search import LocalSearch
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.optuna import Optuna
from raynas.search.searcher.random_search import RandomSearch
from raynas.spaces import get_space

AGGREGATORS = available("raynas.flatness.aggregator")
METRIC = "valid_error_pct"


@dataclass(frozen=True)
class Given:
    """A base that proposes given architectures and remembers what it is told; a user's own searcher."""

    architectures: tuple
    told: list = field(default_factory=list, compare=False)

    def start(self, context):
        return GivenSearcher(self)


class GivenSearcher:
    def __init__(self, spec):
        self.spec = spec
        self.asked = 0

    def ask(self):
        if self.asked == len(self.spec.architectures):
            return None
        self.asked += 1
        return Proposal(self.asked - 1, self.spec.architectures[self.asked - 1], group=self.asked - 1)

    def tell(self, proposal_id, outcome):
        self.spec.told.append((proposal_id, outcome))


def neighborhoods(proposals):
    """Members of each neighborhood, the reference first."""
    groups = {}
    for one in proposals:
        groups.setdefault(one.group, []).append(one.architecture)
    return list(groups.values())


def score_one(space, outcomes, *, aggregator, mode="min"):
    """The score of a neighborhood with given outcomes, the reference's first, and what its base was told."""
    base = Given((space.at(7),))
    spec = Neighborhood(base=base, n_nbr=len(outcomes), aggregator=aggregator)
    searcher = spec.start(SearchContext(space, Objective(METRIC, mode)))
    scores = []
    for outcome in outcomes:
        outcome = outcome if isinstance(outcome, Failure) else Report({METRIC: outcome}, epoch=90, cost_s=2.0)
        scores.append(searcher.tell(searcher.ask().id, outcome))
    assert searcher.ask() is None
    assert scores[:-1] == [None] * (len(outcomes) - 1)
    ((told_id, told),) = base.told
    assert told_id == scores[-1].proposal_id == 0
    assert scores[-1].architecture == space.at(7)
    return scores[-1], told


# Identities


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("neutral", [{"d": 0}, {"n_nbr": 1}, {"d": 0, "n_nbr": 1}])
def test_without_neighbors_it_is_its_base(aggregator, neutral, search, additive):
    values = additive(np.random.default_rng(0))
    base = RandomSearch(n_proposals=50)
    spec = Neighborhood(base=base, aggregator=build("raynas.flatness.aggregator", aggregator), **neutral)
    proposals, scores = search(spec, values)
    plain, plain_scores = search(base, values)
    assert [one.architecture for one in proposals] == [one.architecture for one in plain]
    assert scores == plain_scores
    assert {one.role for one in proposals} == {"reference"}


def test_neighbors_do_not_disturb_the_draws_of_random_search(search, additive):
    values = additive(np.random.default_rng(0))
    base = RandomSearch(n_proposals=50)
    proposals, _ = search(Neighborhood(base=base, n_nbr=25), values)
    references = [one.architecture for one in proposals if one.role == "reference"]
    assert references == [one.architecture for one in search(base, values)[0]]


@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_equal_values_give_equal_scores_and_the_first_reference_stays(aggregator, search, space):
    spec = Neighborhood(RandomSearch(20), aggregator=build("raynas.flatness.aggregator", aggregator))
    proposals, scores = search(spec, np.full(space.size, 8.5))
    assert [score.value for score in scores] == pytest.approx([8.5] * 20)
    assert [score.proposal_id for score in scores] == [10 * step for step in range(20)]
    assert min(scores, key=lambda score: score.value).architecture == proposals[0].architecture


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize(("scale", "shift"), [(0.01, 0.0), (3.0, -40.0)])
def test_the_unit_of_the_metric_does_not_change_what_is_found(aggregator, scale, shift, search, additive):
    values = additive(np.random.default_rng(0), pairs=0.2)
    spec = Neighborhood(RandomSearch(100), aggregator=build("raynas.flatness.aggregator", aggregator))
    found = min(search(spec, values)[1], key=lambda score: score.value)
    again = min(search(spec, scale * values + shift)[1], key=lambda score: score.value)
    assert again.architecture == found.architecture
    assert again.value == pytest.approx(scale * found.value + shift)


def test_the_full_ball_of_an_additive_landscape_is_an_affine_map_of_it(search, space, additive):
    # Each of 24 neighbors changes one of 6 edges: a weight stays in 20 of them and every other appears once.
    values = additive(np.random.default_rng(0))
    total = 5 * 6 * values.mean()  # the sum of all weights: the mean takes each of an edge's 5 equally often
    neighbor_sums = values[space.neighbor_indices(1)].sum(axis=1)
    np.testing.assert_allclose(neighbor_sums, 19 * values + total, atol=1e-9)
    _, scores = search(Neighborhood(RandomSearch(30), n_nbr=25), values)
    for score in scores:
        expected = 0.8 * values[space.index(score.architecture)] + total / 25
        assert score.value == pytest.approx(expected, abs=1e-9)


# Closed forms


@pytest.mark.parametrize(
    ("aggregator", "expected"),
    [
        (Mean(), 14.0),
        (Median(), 12.0),
        (Max(), 20.0),
        (Variance(), 10 + np.sqrt(56 / 3)),  # 14.3205; a ddof of 1 would give 15.2915
        (Variance(lam=0.5), 10 + np.sqrt(56 / 3) / 2),
        (Variance(lam=0.0), 10.0),
    ],
)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_neighborhood_of_three(aggregator, expected, mode, space):
    sign = 1 if mode == "min" else -1
    outcomes = [sign * value for value in (10.0, 12.0, 20.0)]
    score, told = score_one(space, outcomes, aggregator=aggregator, mode=mode)
    assert score.value == pytest.approx(sign * expected)
    assert (score.n, score.n_failed) == (3, 0)
    assert told == Report({METRIC: score.value}, epoch=90, cost_s=6.0)


def test_a_reference_is_told_from_its_neighbors():
    assert Variance()(np.array([10.0, 12.0, 20.0])) == pytest.approx(14.3205, abs=1e-4)
    assert Variance()(np.array([20.0, 12.0, 10.0])) == pytest.approx(24.3205, abs=1e-4)


def test_the_median_of_an_even_neighborhood_is_between_the_two_in_the_middle():
    assert Median()(np.array([10.0, 12.0, 20.0, 30.0])) == 16.0


@pytest.mark.parametrize("lam", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(lam):
    with pytest.raises(ValueError, match="lam"):
        Variance(lam=lam)


# Members


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(d=st.integers(0, 6), n_nbr=st.integers(1, 60), seed=st.integers(0, 1000))
@pytest.mark.parametrize("ball", ["uniform", "perturb_d"])
def test_members_are_distinct_and_within_d_of_their_reference(ball, d, n_nbr, seed, search, space):
    spec = Neighborhood(RandomSearch(5), d=d, n_nbr=n_nbr, ball=ball)
    proposals, scores = search(spec, np.zeros(space.size), seed=seed)
    expected = min(n_nbr, {0: 1, 1: 25, 2: 265, 3: 1545}.get(d, n_nbr))
    assert [len(members) for members in neighborhoods(proposals)] == [expected] * 5
    assert {score.n for score in scores} == {expected}
    for reference, *members in neighborhoods(proposals):
        assert len({reference, *members}) == expected
        assert all(space.distance(reference, one) <= d for one in members)
    assert [one.role == "reference" for one in proposals] == [one.id % expected == 0 for one in proposals]


def test_neighbors_are_uniform_on_the_ball(search, space):
    # 400 neighborhoods of 10 - 1 of 264: at d=2 the shell at distance 1 holds 24 of them, one in eleven.
    spec = Neighborhood(RandomSearch(400), d=2, n_nbr=10)
    proposals, _ = search(spec, np.zeros(space.size))
    near = sum(
        space.distance(reference, one) == 1
        for reference, *members in neighborhoods(proposals)
        for one in members
    )
    expected, n = 24 / 264, 400 * 9
    assert abs(near / n - expected) < 3 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.parametrize(("resample", "same"), [("per_architecture", True), ("fresh", False)])
def test_a_reference_seen_again_gets(resample, same, search, space):
    base = Given((space.at(5), space.at(6), space.at(5)))
    proposals, _ = search(Neighborhood(base, resample=resample), np.zeros(space.size))
    first, other, again = neighborhoods(proposals)
    assert first[0] == again[0] != other[0]
    assert (first == again) is same


def test_another_seed_draws_other_neighbors(search, space):
    spec = Neighborhood(Given((space.at(5),)))
    zeros = np.zeros(space.size)
    assert search(spec, zeros, seed=1)[0] != search(spec, zeros, seed=2)[0]


@pytest.mark.parametrize(("n_nbr", "expected"), [(10, 968.97), (25, 2311.96)])
def test_the_number_of_architectures_trained(n_nbr, expected, search, space):
    # M (1 - (1 - n/M)^T) for independent draws, which "fresh" makes; the paper charges T n.
    assert expected == pytest.approx(space.size * (1 - (1 - n_nbr / space.size) ** 100), abs=0.01)
    zeros, counts = np.zeros(space.size), []
    for seed in range(20):
        proposals, _ = search(Neighborhood(n_nbr=n_nbr, resample="fresh"), zeros, seed=seed)
        assert len(proposals) == 100 * n_nbr
        counts.append(len({one.architecture for one in proposals}))
    assert abs(np.mean(counts) - expected) < 3 * np.std(counts, ddof=1) / np.sqrt(len(counts))


def test_a_ball_smaller_than_n_nbr_is_used_whole_where_balls_differ(tmp_path, search):
    path = tmp_path / "uneven.yaml"
    path.write_text(
        "kind: darts\nnodes: 2\noperations: [a, b, c]\nedges:\n"
        "  normal: {2<-0: [a], 2<-1: [a], 3<-0: [a], 3<-1: [a, b, c], 3<-2: [a, b]}\n"
        "  reduce: {2<-0: [a], 2<-1: [a], 3<-0: [a], 3<-1: [a], 3<-2: [a]}\n"
    )
    space = get_space(str(path))
    sizes = {space.ball_size(space.at(index), 1) for index in range(space.size)}
    assert len(sizes) > 1  # the point of this space
    spec = Neighborhood(RandomSearch(20), n_nbr=max(sizes))
    assert list(spec.problems(space)) == []
    searcher = spec.start(SearchContext(space, Objective(METRIC, "min")))
    proposals = list(iter(searcher.ask, None))
    for reference, *members in neighborhoods(proposals):
        assert set(members) == set(space.neighbors(reference))


# Failures

DIVERGED = Failure("diverged", "the loss is not finite", epoch=3)
LOST = Failure("lost", "the machine went away")
ERROR = Failure("error", "out of memory")


@pytest.mark.parametrize("aggregator", [Mean(), Max(), Variance()])
@pytest.mark.parametrize("neighbor", [DIVERGED, float("nan"), float("inf")])
def test_a_neighbor_that_diverges_rejects_its_neighborhood(aggregator, neighbor, space):
    score, told = score_one(space, [10.0, 11.0, neighbor], aggregator=aggregator)
    assert (score.value, score.n, score.n_failed) == (None, 0, 1)
    assert isinstance(told, Failure)
    assert told.kind == "diverged"
    assert "1 of 3" in told.message


def test_the_median_survives_a_neighbor_that_diverges(space):
    score, told = score_one(space, [10.0, 11.0, DIVERGED], aggregator=Median())
    assert (score.value, score.n, score.n_failed) == (11.0, 3, 1)
    assert told == Report({METRIC: 11.0}, epoch=90, cost_s=4.0)


def test_the_median_does_not_survive_when_half_diverges(space):
    score, _ = score_one(space, [10.0, 11.0, DIVERGED, DIVERGED], aggregator=Median())
    assert (score.value, score.n_failed) == (None, 2)


@pytest.mark.parametrize("neighbor", [LOST, ERROR])
def test_a_neighbor_that_is_lost_is_left_out(neighbor, space):
    score, told = score_one(space, [10.0, neighbor, 14.0], aggregator=Mean())
    assert (score.value, score.n, score.n_failed) == (12.0, 2, 1)
    assert told.metrics == {METRIC: 12.0}


@pytest.mark.parametrize("reference", [DIVERGED, LOST, ERROR])
def test_a_reference_that_fails_fails_its_neighborhood(reference, space):
    score, told = score_one(space, [reference, 10.0, 11.0], aggregator=Median())
    assert (score.value, score.n, score.n_failed) == (None, 0, 1)
    assert told == reference


def test_a_reference_with_a_metric_that_is_not_a_number_diverged(space):
    score, told = score_one(space, [float("nan"), 10.0, 11.0], aggregator=Median())
    assert (score.value, score.n_failed) == (None, 1)
    assert (told.kind, told.epoch) == ("diverged", 90)


def test_it_waits_for_the_last_member_in_whatever_order_they_end(space):
    base = Given((space.at(7), space.at(8)))
    searcher = Neighborhood(base, n_nbr=3).start(SearchContext(space, Objective(METRIC, "min")))
    proposals = [searcher.ask() for _ in range(6)]
    assert searcher.ask() is None
    completed = [
        searcher.tell(id_, Report({METRIC: float(proposals[id_].group)}, epoch=1))
        for id_ in (4, 0, 2, 3, 5, 1)
    ]
    assert [score and score.proposal_id for score in completed] == [None, None, None, None, 3, 0]
    assert [told_id for told_id, _ in base.told] == [1, 0]


# What cannot work


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        (Neighborhood(d=9), "d", "9 exceeds the 6 edges of nas_bench_201"),
        (Neighborhood(n_nbr=26), "n_nbr", "26 exceeds the 25 architectures .* use n_nbr <= 25"),
        (Neighborhood(d=2, n_nbr=266), "n_nbr", "use n_nbr <= 265"),
        (Neighborhood(Optuna(sampler="TPE")), "base.sampler", "unknown sampler 'TPE'.*TPESampler"),
    ],
)
def test_what_cannot_work_in_a_space_is_said(spec, field, words, space):
    ((where, message),) = spec.problems(space)
    assert where == field
    assert re.search(words, message)


@pytest.mark.parametrize(
    "spec",
    [
        Neighborhood(),
        Neighborhood(d=1, n_nbr=25),
        Neighborhood(d=2, n_nbr=265),
        Neighborhood(d=6, n_nbr=30),
        Neighborhood(
            d=0, n_nbr=100
        ),  # d = 0 is neutral, whatever n_nbr is, so that a sweep over d may hold it
        Neighborhood(base=LocalSearch()),
    ],
)
def test_what_works_is_not_complained_of(spec, space):
    assert list(spec.problems(space)) == []


@pytest.mark.parametrize("wrong", [{"d": -1}, {"n_nbr": 0}, {"base": Neighborhood()}])
def test_hyperparameters_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Neighborhood(**wrong)


def test_a_base_without_architectures_is_refused(space):
    searcher = Neighborhood(Given((None,))).start(SearchContext(space, Objective(METRIC)))
    with pytest.raises(InputError, match="must propose architectures"):
        searcher.ask()


# Why it works: the neighborhood averages the noise of a single reading away


@pytest.fixture(scope="module")
def truth(additive):
    """A landscape in which neighbors resemble each other; of variance 1."""
    return additive(np.random.default_rng(0), pairs=0.2)


def test_under_noise_the_mean_of_the_ball_ranks_better_than_the_reading(truth, space):
    neighbors = space.neighbor_indices(1)
    rng = np.random.default_rng(0)
    for sigma, mean_ranks_better in [(0.0, False), (1.0, True), (2.0, True)]:
        reading = truth + rng.normal(scale=sigma, size=space.size)
        ball = np.column_stack([reading, reading[neighbors]])
        gain = kendalltau(Mean()(ball), truth).statistic - kendalltau(reading, truth).statistic
        assert gain > 0.1 if mean_ranks_better else gain < -0.01


@pytest.mark.parametrize(("sigma", "n_runs", "better"), [(3.0, 60, "neighborhood"), (0.0, 20, "random")])
def test_with_noise_it_beats_random_search_at_equal_cost_and_without_noise_it_does_not(
    sigma, n_runs, better, truth, space, search
):
    # One effect, two signs, as on the real table: 40 full balls against 1000 draws, 0.8 standard deviations
    # apart with noise and 2.5 the other way without.
    specs = {
        "neighborhood": Neighborhood(RandomSearch(n_proposals=40), n_nbr=25),
        "random": RandomSearch(n_proposals=1000),
    }
    found = {"neighborhood": [], "random": []}
    for seed in range(n_runs):
        frozen = truth + np.random.default_rng(seed).normal(scale=sigma, size=space.size)
        for name, spec in specs.items():
            proposals, scores = search(spec, frozen, seed=seed)
            assert len(proposals) == 1000
            best = min(scores, key=lambda score: score.value)
            found[name].append(truth[space.index(best.architecture)])
    worse = "random" if better == "neighborhood" else "neighborhood"
    assert mannwhitneyu(found[better], found[worse], alternative="less").pvalue < 0.01
