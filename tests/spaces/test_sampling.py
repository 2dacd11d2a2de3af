"""Draws follow the laws they claim; seeds are fixed, and each test rejects at one in ten thousand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.spaces.ball import below, distinct_below

NB201, S5 = get_space("nas_bench_201"), get_space("darts_s5")
REJECT = 1e-4


def looks_uniform(counts, n_values):
    observed = [*counts.values(), *[0] * (n_values - len(counts))]
    return len(observed) == n_values and stats.chisquare(observed).pvalue > REJECT


def test_samples_are_uniform_over_the_space(uneven_darts):
    rng = np.random.default_rng(1)
    counts = Counter(uneven_darts.index(uneven_darts.sample(rng)) for _ in range(20_000))
    assert looks_uniform(counts, uneven_darts.size)


def test_samples_of_a_huge_space_are_uniform_at_every_site():
    rng = np.random.default_rng(2)
    found = [S5.sample(rng) for _ in range(10_000)]
    for cell in (slice(0, 2), slice(9, 14), slice(14, 16), slice(23, 28)):
        n_values = 49 if cell.stop - cell.start == 2 else 490
        assert looks_uniform(Counter(a.ops[cell] for a in found), n_values)


@pytest.mark.parametrize(("space", "count"), [(NB201, 24), (S5, 264)])
def test_mutation_is_uniform_over_the_neighbours(space, count):
    rng = np.random.default_rng(3)
    a = space.sample(rng)
    counts = Counter(space.mutate(rng, a) for _ in range(50 * count))
    assert set(counts) == set(space.neighbors(a))
    assert looks_uniform(counts, count)


def test_every_member_of_a_ball_is_drawn_equally_often(uneven_darts):
    # Unequal counts per architecture make this the hard case. Draws without replacement vary less than
    # independent ones, by (N - n) / (N - 1).
    a = uneven_darts.at(321)
    ball = set(uneven_darts.neighbors(a)) | set(uneven_darts.neighbors(a, 2))
    n, rng = 20, np.random.default_rng(4)
    drawn = [uneven_darts.sample_ball(rng, a, 2, n) for _ in range(1500)]
    counts = Counter(x for draw in drawn for x in draw)
    assert set(counts) == ball
    observed = np.array(list(counts.values()))
    statistic = (
        ((observed - observed.mean()) ** 2 / observed.mean()).sum() * (len(ball) - 1) / (len(ball) - n)
    )
    assert stats.chi2.sf(statistic, len(ball) - 1) > REJECT
    assert looks_uniform(Counter(draw[0] for draw in drawn), len(ball)), "the order must be random as well"


@pytest.mark.parametrize("law", ["uniform", "perturb_d"])
@pytest.mark.parametrize(("d", "size"), [(1, 24), (2, 264)])
def test_asking_for_the_whole_ball_gives_the_whole_ball(law, d, size):
    a = NB201.at(4321)
    found = NB201.sample_ball(np.random.default_rng(5), a, d, size, law=law)
    assert sorted(found) == sorted(x for r in range(1, d + 1) for x in NB201.neighbors(a, r))


def test_asking_for_all_other_architectures_gives_them():
    found = NB201.sample_ball(np.random.default_rng(6), NB201.at(0), 6, 15_624)
    assert sorted(map(NB201.index, found)) == list(range(1, 15_625))


@pytest.mark.parametrize("law", ["uniform", "perturb_d"])
def test_asking_for_more_than_the_ball_holds_is_refused(law):
    rng = np.random.default_rng(7)
    with pytest.raises(InputError, match=f"25 neighbours asked for, and law '{law}' reaches 24 within d = 1"):
        NB201.sample_ball(rng, NB201.at(0), 1, 25, law=law)
    with pytest.raises(InputError, match="reaches 0 within d = 0"):
        NB201.sample_ball(rng, NB201.at(0), 0, 1, law=law)


def test_the_radii_in_a_darts_ball_follow_their_counts():
    rng = np.random.default_rng(8)
    a = S5.sample(rng)
    for d, count in ((2, 20_000), (3, 10_000)):
        radii = Counter(S5.distance(a, x) for x in S5.sample_ball(rng, a, d, count))
        expected = np.array([S5.sphere_size(a, r) for r in range(1, d + 1)], dtype=float)
        observed = np.array([radii[r] for r in range(1, d + 1)])
        # Draws without replacement from 31,464 and 2,221,204: corrected as above.
        share = (expected.sum() - 1) / (expected.sum() - count)
        expected *= count / expected.sum()
        statistic = ((observed - expected) ** 2 / expected).sum() * share
        assert stats.chi2.sf(statistic, d - 1) > REJECT


def test_a_ball_too_large_to_enumerate_is_sampled():
    a = S5.sample(np.random.default_rng(9))
    for d in (6, 16, 40):
        found = S5.sample_ball(np.random.default_rng(9), a, d, 500)
        assert len(set(found)) == 500
        assert max(S5.distance(a, x) for x in found) <= d
    assert S5.ball_size(a, 16) == S5.ball_size(a, 40) == S5.size


def test_perturbation_changes_at_most_d_sites_by_one_step_and_is_not_uniform():
    rng = np.random.default_rng(10)
    a = S5.sample(rng)
    found = S5.sample_ball(rng, a, 2, 2000, law="perturb_d")
    radii = Counter(S5.distance(a, x) for x in found)
    assert set(radii) == {1, 2}
    assert radii[1] > 3 * 2000 * S5.sphere_size(a, 1) / (S5.ball_size(a, 2) - 1)
    for x in found:
        steps = [site.rows[i][j] for site, i, j in zip(S5.sites, S5._digits(a), S5._digits(x), strict=True)]
        assert max(steps) == 1


def test_the_centre_comes_first_and_counts():
    a = NB201.at(77)
    found = NB201.sample_ball(np.random.default_rng(11), a, 1, 10, center=True)
    assert found[0] == a
    assert found[1:] == NB201.sample_ball(np.random.default_rng(11), a, 1, 9)
    assert len(NB201.sample_ball(np.random.default_rng(11), a, 1, 25, center=True)) == 25


def test_where_nothing_is_to_be_drawn_no_randomness_is_used():
    rng, untouched = np.random.default_rng(12), np.random.default_rng(12)
    a = NB201.at(77)
    assert NB201.sample_ball(rng, a, 0, 1, center=True) == [a]
    assert NB201.sample_ball(rng, a, 3, 1, center=True) == [a]
    assert NB201.sample_ball(rng, a, 3, 0) == NB201.sample_ball(rng, a, 3, 0, center=True) == []
    assert rng.random() == untouched.random()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"d": -1, "n": 1}, "d is -1"),
        ({"d": 1, "n": -1}, "n is -1"),
        ({"d": 1, "n": 0, "law": "gaussian"}, "unknown law 'gaussian'; it is uniform or perturb_d"),
    ],
)
def test_wrong_arguments_are_refused(arguments, reason):
    with pytest.raises(InputError, match=reason):
        NB201.sample_ball(np.random.default_rng(0), NB201.at(0), **arguments)


def test_a_space_of_one_architecture_has_nothing_to_mutate_into(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text("kind: nas_bench_201\nnodes: 3\noperations: [skip_connect]\n")
    space = get_space(str(path))
    assert space.size == 1
    assert space.neighbors(space.at(0)) == []
    assert space.suggest(lambda *_: pytest.fail("there is nothing to ask")) == space.at(0)
    with pytest.raises(InputError, match="one architecture only"):
        space.mutate(np.random.default_rng(0), space.at(0))


def test_integers_beyond_64_bits_are_drawn_uniformly_and_without_repeats():
    rng = np.random.default_rng(13)
    n = 3 * 2**70
    assert looks_uniform(Counter(below(rng, n) // 2**70 for _ in range(3000)), 3)
    drawn = distinct_below(rng, n, 100)
    assert len(set(drawn)) == 100
    assert max(drawn) < n
