"""Noise on weights: how large, where, and whose."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from raynas.flatness.noise import Noise, perturbed

SIGMA = (1e-3, 3e-3, 6e-3)


def everywhere(name):
    return True


def steps(noise, *, n=100_000, dtype=torch.float64):
    """What each level adds to zeros."""
    return [level["w"] for level in perturbed({"w": torch.zeros(n, dtype=dtype)}, noise, in_cells=everywhere)]


@pytest.mark.parametrize(
    ("mode", "sigma", "due"),
    [
        ("shared", SIGMA, SIGMA),
        ("direct", SIGMA, SIGMA),
        ("cumulative", SIGMA, (1e-3, 2.236e-3, 3.742e-3)),
        ("cumulative", (2e-3, 1e-2, 2e-2), (2e-3, 8.246e-3, 12.961e-3)),
    ],
)
def test_the_standard_deviation_at_each_level_is_that_of_the_mode(mode, sigma, due):
    found = [step.std().item() for step in steps(Noise(sigma, mode))]
    assert found == pytest.approx(due, rel=0.01)


def test_shared_levels_are_multiples_of_one_draw():
    first, second, third = steps(Noise(SIGMA))
    torch.testing.assert_close(second, 3 * first)
    torch.testing.assert_close(third, 6 * first)


def test_direct_levels_are_uncorrelated_and_cumulative_ones_build_on_one_another():
    direct = torch.corrcoef(torch.stack(steps(Noise(SIGMA, "direct"))))
    assert direct.fill_diagonal_(0).abs().max() < 0.02
    first, second, third = steps(Noise(SIGMA, "cumulative"))
    added = torch.stack([first, second - first, third - second])
    assert added.std(dim=1).tolist() == pytest.approx([1e-3, 2e-3, 3e-3], rel=0.01)
    assert torch.corrcoef(added).fill_diagonal_(0).abs().max() < 0.02


def test_the_first_level_is_the_same_in_all_modes():
    first = [steps(Noise(SIGMA, mode))[0] for mode in ("shared", "direct", "cumulative")]
    assert all(torch.equal(one, other) for one, other in itertools.pairwise(first))


@pytest.mark.parametrize("mode", ["shared", "direct", "cumulative"])
def test_the_weights_given_stay_as_they_are_and_only_those_in_the_position_move(mode):
    weights = {"stem.w": torch.ones(5), "cell.w": torch.ones(5)}
    found = perturbed(weights, Noise(SIGMA, mode, "cells"), in_cells=lambda name: name.startswith("cell"))
    assert all(torch.equal(weight, torch.ones(5)) for weight in weights.values())
    for level in found:
        assert list(level) == list(weights)
        assert level["stem.w"] is weights["stem.w"]
        assert (level["cell.w"] != 1).all()


@pytest.mark.parametrize("mode", ["shared", "direct", "cumulative"])
def test_the_noise_of_a_weight_does_not_hang_on_which_others_there_are(mode):
    weights = {"a": torch.ones(5), "b": torch.ones(7), "c": torch.ones(5)}
    noise = Noise(SIGMA, mode, seed=3)
    all_of_them = perturbed(weights, noise, in_cells=everywhere)
    alone = perturbed({"c": weights["c"]}, noise, in_cells=everywhere)
    for whole, part in zip(all_of_them, alone, strict=True):
        assert torch.equal(whole["c"], part["c"])
        assert not torch.equal(whole["a"], whole["c"])


def test_equal_seeds_draw_equal_noise_and_others_do_not_and_the_global_state_has_no_part_in_it():
    before = torch.get_rng_state()
    one, same, other = (steps(Noise(SIGMA, seed=seed), n=9) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, one, same))
    assert not any(map(torch.equal, one, other))


def test_both_formats_get_the_same_draw():
    narrow, wide = (steps(Noise(SIGMA), n=9, dtype=dtype) for dtype in (torch.float32, torch.float64))
    assert [level.dtype for level in narrow + wide] == [torch.float32] * 3 + [torch.float64] * 3
    for one, other in zip(narrow, wide, strict=True):
        torch.testing.assert_close(one.double(), other)


def test_noise_is_a_value_that_what_is_made_of_it_can_be_kept_by():
    assert {Noise(SIGMA, seed=1): 5}[Noise(SIGMA, seed=1)] == 5
    assert Noise(SIGMA, seed=1) != Noise(SIGMA, seed=2)


@pytest.mark.parametrize(
    "sigma", [(), (0.0,), (-1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan,), (1.0, math.nan)]
)
def test_levels_that_do_not_increase_from_above_0_are_refused(sigma):
    with pytest.raises(ValueError, match=r"sigma: .* are not levels of noise; give positive numbers"):
        Noise(sigma)
