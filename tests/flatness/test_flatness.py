"""Flatness in closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from subjects import Landscape, constant

from raynas.flatness.metric.flatness import Flatness, flatness_value

TINY = 1e-12


def vectors(n=7):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, n, generator=generator, dtype=torch.float64).unbind()


def draw(metric, n, seed=0):
    """The e of shared noise, read off zeros."""
    seen = []
    zeros = {"w": torch.zeros(n, dtype=torch.float64)}
    metric.measure(Landscape(zeros, lambda weights: seen.append(weights["w"]) or torch.zeros(())), seed)
    return seen[0] / metric.sigma[0]


# The value


@pytest.mark.parametrize(("sigma", "loss", "alpha"), [((1.0, 2.0, 4.0), 2.0, 1.0), ((0.5, 0.75), 3.0, 4.0)])
def test_a_constant_loss_is_as_flat_as_its_depth_allows(sigma, loss, alpha):
    losses = [loss] * len(sigma)
    value = flatness_value(losses, sigma, alpha=alpha, eps=0)
    assert value == pytest.approx(sigma[0] / (alpha * loss))
    assert value / sigma[0] == pytest.approx(1 / (alpha * loss)), "beta F"


def test_a_constant_loss_without_depth_leaves_eps_alone():
    assert flatness_value([2.0, 2.0, 2.0], (1, 2, 4), alpha=0, eps=1e-5) == pytest.approx(1e5)
    assert flatness_value([2.0, 2.0, 2.0], (1, 2, 4), alpha=1, eps=0) == 0.5
    assert flatness_value([0.0], (1,), eps=0) == math.inf


def test_with_one_level_the_depth_is_all():
    assert flatness_value([3.0], (0.5,), alpha=2, eps=1e-5) == pytest.approx(1 / (2 * 6 + 1e-5))


def test_slopes_count_whether_they_rise_or_fall_and_all_are_inverted_together():
    assert flatness_value([1.0, 3.0, 2.0], (1, 2, 4), eps=0) == pytest.approx(1 / (2 + 0.5 + 1))


@given(
    losses=st.lists(st.floats(0.01, 10), min_size=3, max_size=3),
    steps=st.lists(st.floats(1e-5, 1), min_size=3, max_size=3),
    alpha=st.floats(0.01, 16),
)
def test_beta_times_flatness_is_one_over_depth_and_slopes_in_units_of_the_first_level(losses, steps, alpha):
    sigma = (steps[0], steps[0] + steps[1], steps[0] + steps[1] + steps[2])
    slopes = sum(abs(losses[i + 1] - losses[i]) / (sigma[i + 1] - sigma[i]) for i in range(2))
    due = 1 / (alpha * losses[0] + sigma[0] * slopes + sigma[0] * 1e-5)
    value = flatness_value(losses, sigma, alpha=alpha)
    assert value / sigma[0] == pytest.approx(due)


@pytest.mark.parametrize("broken", [math.inf, math.nan])
@pytest.mark.parametrize("level", [0, 1])
def test_a_network_that_noise_breaks_is_not_flat_at_all(level, broken):
    losses = [1.0, 1.0]
    losses[level] = broken
    assert flatness_value(losses, (1, 2)) == 0
    assert flatness_value([math.inf, math.inf], (1, 2), alpha=0) == 0


def test_levels_and_losses_must_fit():
    with pytest.raises(ValueError, match="losses: 2 for 3 levels of noise; give one a level"):
        flatness_value([1.0, 1.0], (1, 2, 3))
    with pytest.raises(ValueError, match="sigma"):
        flatness_value([1.0, 1.0], (2, 1))


# The metric


@pytest.mark.parametrize("sigma", [(0.5, 2.0, 3.0, 7.0), (1e-3, 3e-3)])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 4.0])
def test_on_a_plane_shared_noise_meets_the_same_slope_at_every_level(sigma, alpha):
    slope, at = vectors()
    subject = Landscape({"w": at}, lambda weights: 5.0 + slope @ weights["w"])
    metric = Flatness(sigma, alpha=alpha, eps=TINY)
    rise = float(slope @ draw(metric, len(at)))
    here = float(5 + slope @ at)
    due = 1 / ((len(sigma) - 1) * abs(rise) + alpha * abs(here / sigma[0] + rise))
    assert metric.measure(subject, 0).value == pytest.approx(due, rel=1e-6)


def test_in_a_bowl_shared_noise_meets_the_square_of_its_size():
    metric = Flatness((1.0, 2.0, 4.0), eps=TINY)
    e = draw(metric, 9)
    curvature = 2 / float(e @ e)  # so that the loss is the square of sigma
    bowl = Landscape({"w": torch.zeros_like(e)}, lambda weights: curvature * weights["w"].square().sum() / 2)
    found = metric.measure(bowl, 0)
    assert [found.metrics[f"perturbed_loss_{i}"] for i in (1, 2, 3)] == pytest.approx([1, 4, 16])
    assert found.value == pytest.approx(1 / 10)


@pytest.mark.parametrize(
    ("mode", "losses", "due"),
    [("shared", (1, 4, 16), 1 / 10), ("direct", (1, 4, 16), 1 / 10), ("cumulative", (1, 2, 6), 1 / 4)],
)
def test_in_a_wide_bowl_every_mode_meets_its_expectation(mode, losses, due):
    n = 200_000
    bowl = Landscape({"w": torch.zeros(n, dtype=torch.float64)}, lambda weights: weights["w"].square().mean())
    found = Flatness((1.0, 2.0, 4.0), mode=mode).measure(bowl, 0)
    assert [found.metrics[f"perturbed_loss_{i}"] for i in (1, 2, 3)] == pytest.approx(losses, rel=0.02)
    assert found.value == pytest.approx(due, rel=0.02)


def test_the_share_is_beta_times_flatness():
    found = Flatness((0.5, 1.0), eps=TINY).measure(constant(4.0), 0)
    assert found.value == pytest.approx(0.5 / 4)
    assert found.share == pytest.approx(1 / 4)
    assert found.metrics["flatness"] == found.value


def test_candidates_share_their_noise_unless_each_is_to_draw_its_own():
    slope, at = vectors()

    def value(name, seed=0, **options):
        subject = Landscape({"w": at}, lambda weights: 5 + slope @ weights["w"], name=name)
        return Flatness(**options).measure(subject, seed).value

    assert value("a") == value("b")
    assert value("a") != value("a", seed=1)
    assert value("a", common=False) != value("b", common=False)
    assert value("a", common=False) == value("a", common=False)


def test_noise_on_the_cells_alone_does_not_see_the_classifier():
    weights = {"cell.w": torch.zeros(5, dtype=torch.float64), "head.w": torch.zeros(5, dtype=torch.float64)}
    subject = Landscape(weights, lambda weights: 2 + 100 * weights["head.w"].square().sum())
    assert Flatness((1.0, 2.0), position="cells", eps=TINY).measure(subject, 0).value == pytest.approx(1 / 2)
    assert Flatness((1.0, 2.0), eps=TINY).measure(subject, 0).value < 1e-2


# Along the Hessian's first eigenvector


@pytest.mark.parametrize("mode", ["shared", "direct", "cumulative"])
def test_along_the_hessian_a_bowl_is_as_flat_as_its_greatest_curvature(mode):
    curvatures = torch.tensor([0.5, 3.0, 1.0, 0.1], dtype=torch.float64)
    weights = {"w": torch.zeros(4, dtype=torch.float64)}
    bowl = Landscape(weights, lambda weights: (curvatures * weights["w"].square()).sum() / 2)
    found = Flatness((1.0, 2.0), eps=TINY, direction="hessian", mode=mode).measure(bowl, 0)
    # the losses are 3 * sigma**2 / 2
    assert [found.metrics[f"perturbed_loss_{i}"] for i in (1, 2)] == pytest.approx([1.5, 6], rel=1e-3)
    assert found.value == pytest.approx(1 / (4.5 + 1.5), rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_along_the_hessian_it_goes_where_the_loss_rises(seed):
    weights = {"w": torch.zeros(3, dtype=torch.float64)}
    slope = torch.tensor([0.1, 0.0, 0.0], dtype=torch.float64)
    bowl = Landscape(weights, lambda w: 1 + slope @ w["w"] + 3 * w["w"][0] ** 2 + w["w"][1] ** 2)
    found = Flatness((1e-3, 2e-3), direction="hessian").measure(bowl, seed)
    assert found.metrics["perturbed_loss_1"] == pytest.approx(1 + 1e-4 + 3e-6, rel=1e-6)


def test_along_the_hessian_of_the_cells_nothing_else_moves():
    weights = {"cell.w": torch.ones(2, dtype=torch.float64), "head.w": torch.zeros(2, dtype=torch.float64)}
    bowl = Landscape(
        weights, lambda w: (w["cell.w"] - 1).square().sum() + 1e6 * w["head.w"].square().sum() + 1
    )
    metric = Flatness((1.0, 2.0), position="cells", direction="hessian")
    assert metric.measure(bowl, 0).metrics["perturbed_loss_1"] == pytest.approx(1 + 1)


# Its hyperparameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": (0.2, 0.1)}, "sigma: .* each above the one before"),
        ({"alpha": -1.0}, "alpha: -1.0 is not a weight"),
        ({"alpha": math.inf}, "alpha: inf is not a weight"),
        ({"alpha": 0.0, "sigma": (0.1,)}, "alpha: 0 with one level of noise leaves nothing to measure"),
        ({"eps": 0.0}, "eps: 0.0 is not positive"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Flatness(**options)


def test_beta_is_one_over_the_first_level():
    assert Flatness((2e-3, 1e-2)).beta == pytest.approx(500)
