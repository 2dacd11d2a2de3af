"""Mixing weights perturbed under the weights' step: SDARTS at random and adversarially."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from objectives import CELL, only

from raynas.config.building import Builder
from raynas.differentiable.mixing_perturbation._simplex import clipped, shaken
from raynas.differentiable.mixing_perturbation.adversarial import Adversarial
from raynas.differentiable.mixing_perturbation.random import Random
from raynas.differentiable.relaxation.softmax import masked_softmax
from raynas.differentiable.schedule import Linear, Progress, value
from raynas.spaces import get_space
from raynas.supernets.mixing import Mixing
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

torch.set_num_threads(1)

BOTH = [Random, Adversarial]
FLOATS = [torch.float32, torch.float64]
MIDDLE = Progress(25, 50)
NARROWED = only(CELL, {("", 0): (3,), ("", 2): (), ("", 4): (1, 3)})
COSTS = {"": torch.randn(6, 5, generator=torch.Generator().manual_seed(5))}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def weights(alive=None, *, seed=0, dtype=torch.float32):
    alive = alive or CELL.all_alive()
    logits = torch.randn(6, 5, generator=seeded(seed), dtype=torch.float64)
    return {"": masked_softmax(logits, alive[""]).to(dtype)}


def linear(theta):
    return (COSTS[""].to(theta[""]) * theta[""]).sum()


def perturbed(component, theta, loss=linear, alive=None, progress=MIDDLE, seed=1):
    return component.perturbed(theta, loss, alive or CELL.all_alive(), progress, seeded(seed))


# The clip


@pytest.mark.parametrize(
    ("moved", "due"),
    [
        ((0.8, -0.1, 0.3), (0.8 / 1.1, 0.0, 0.3 / 1.1)),
        ((-0.1, -0.1, 1.1), (0.0, 0.0, 1.0)),
        ((-0.3, -0.1, -0.2), (0.0, 1.0, 0.0)),  # nothing is left, so the greatest takes it all
        ((0.2, 0.3, 0.5), (0.2, 0.3, 0.5)),
        ((2.0, 3.0, 0.0), (0.5, 0.5, 0.0)),
    ],
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_clip_is_that_of_the_released_code(moved, due, dtype):
    rows = torch.tensor([moved], dtype=dtype)
    found = clipped(rows, torch.full_like(rows, 1 / 3), np.ones((1, 3), bool))
    torch.testing.assert_close(found, torch.tensor([due], dtype=dtype), rtol=0, atol=1e-6)


def test_the_clip_gives_nothing_to_operations_that_are_not_alive():
    """Were the dead column asked, it would win the row whose rest is negative."""
    theta = torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]])
    moved = torch.tensor([[0.6, 0.4, 0.3], [-0.2, 0.9, -0.1]])
    found = clipped(moved, theta, np.array([[True, False, True]] * 2))
    torch.testing.assert_close(found, torch.tensor([[2 / 3, 0, 1 / 3], [0, 0, 1.0]]))


@given(
    rows=st.lists(st.lists(st.floats(-2, 2), min_size=4, max_size=4), min_size=1, max_size=5),
    alive=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_clipped_rows_are_mixing_weights(rows, alive):
    moved = torch.tensor(rows, dtype=torch.float64)
    counts = np.tile(np.array(alive), (len(rows), 1))
    theta = torch.as_tensor(counts / max(1, sum(alive)))
    found = clipped(moved, theta, counts)
    assert (found >= 0).all()
    assert (found[~torch.as_tensor(counts)] == 0).all()
    torch.testing.assert_close(found.sum(1), theta.sum(1))


# Both


@pytest.mark.parametrize("kind", BOTH)
def test_without_epsilon_the_mixing_weights_are_the_very_same(kind):
    theta = weights()
    assert perturbed(kind(**kind.neutral), theta, loss=None) is theta
    assert perturbed(kind(epsilon=Linear((0.0, 0.3))), theta, loss=None, progress=Progress(0, 50)) is theta


@pytest.mark.parametrize("kind", BOTH)
def test_epsilon_rises_from_003_towards_03(kind):
    epsilon = kind().epsilon
    assert value(epsilon, Progress(0, 50)) == pytest.approx(0.03)
    assert value(epsilon, Progress(49, 50)) == pytest.approx(0.2946)
    assert value(epsilon, Progress(50, 50)) == pytest.approx(0.3)  # while selections are tuned


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("dtype", FLOATS)
def test_perturbed_rows_are_mixing_weights_and_decided_rows_stay(kind, dtype):
    for seed in range(20):
        theta = weights(NARROWED, dtype=dtype, seed=seed)
        found = perturbed(kind(epsilon=0.3), theta, alive=NARROWED, seed=seed)[""]
        assert found.dtype == dtype
        assert (found >= 0).all()
        assert (found[~torch.as_tensor(NARROWED[""])] == 0).all()
        torch.testing.assert_close(found.sum(1), theta[""].sum(1))
        assert torch.equal(found[0], theta[""][0])
        assert found[0, 3] == 1
        assert not torch.equal(found[4], theta[""][4])


@pytest.mark.parametrize("kind", BOTH)
def test_a_step_is_reproducible_and_changes_nothing_else(kind):
    theta = weights()
    before = theta[""].clone()
    state = torch.get_rng_state()
    first, again, other = (perturbed(kind(epsilon=0.2), theta, seed=seed)[""] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(theta[""], before)
    assert not theta[""].requires_grad
    assert not first.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", BOTH)
def test_single_and_double_precision_see_the_same_noise(kind):
    single, double = (perturbed(kind(epsilon=0.2), weights(dtype=dtype))[""] for dtype in FLOATS)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", BOTH)
def test_cells_with_weights_of_their_own_share_the_noise(kind):
    theta = weights()
    cells = {"": theta[""].expand(3, -1, -1).clone()}
    found = perturbed(kind(epsilon=0.2), cells)[""]
    torch.testing.assert_close(found, perturbed(kind(epsilon=0.2), theta)[""].expand(3, -1, -1))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("epsilon", [-0.1, float("nan"), float("inf"), Linear((0.1, -0.1))])
def test_a_negative_epsilon_is_refused(kind, epsilon):
    with pytest.raises(ValueError, match=r"epsilon: .* negative or not finite; give 0 or more"):
        kind(epsilon=epsilon)


@pytest.mark.parametrize("kind", BOTH)
def test_hyperparameters_are_a_value_that_yaml_gives(kind):
    builder = Builder()
    made = builder.build(kind, {"epsilon": {"linear": [0.03, 0.3]}})
    assert not builder.problems
    assert made == kind() == pickle.loads(pickle.dumps(made))
    assert hash(made) == hash(kind())


# At random


def test_the_noise_is_uniform_within_epsilon():
    """Rows far from the borders, so that the clip only divides by the sum."""
    theta = {"": torch.full((2000, 4), 0.25, dtype=torch.float64)}
    alive = {"": np.ones((2000, 4), bool)}
    found = shaken(theta, 0.1, alive, seeded())[""]
    noise = 2 * torch.rand(2000, 4, generator=seeded(), dtype=torch.float64) - 1
    raw = 0.25 + 0.1 * noise
    torch.testing.assert_close(found, raw / raw.sum(1, keepdim=True))
    assert noise.abs().max() > 0.99


def test_kinds_of_cells_have_draws_of_their_own():
    alive = {"normal": np.ones((3, 4), bool), "reduce": np.ones((3, 4), bool)}
    theta = {kind: torch.full((3, 4), 0.25) for kind in alive}
    found = shaken(theta, 0.1, alive, seeded())
    assert not torch.equal(found["normal"], found["reduce"])


# Adversarially


@pytest.mark.parametrize("seed", range(10))
def test_the_loss_is_never_lower_than_without(seed):
    theta = weights(seed=seed)
    rugged = torch.randn(30, 30, generator=seeded(seed))

    def loss(moved):
        return torch.sin(8 * rugged @ moved[""].flatten()).sum()

    found = perturbed(Adversarial(epsilon=0.2), theta, loss=loss, seed=seed)
    assert loss(found) >= loss(theta)


def test_where_every_change_lowers_the_loss_nothing_is_perturbed():
    theta = weights()

    def loss(moved):
        return -(moved[""] - theta[""]).norm()

    assert perturbed(Adversarial(epsilon=0.2), theta, loss=loss) is theta


def test_a_loss_that_is_not_a_number_perturbs_nothing():
    theta = weights()
    assert perturbed(Adversarial(), theta, loss=lambda moved: moved[""].sum() * float("nan")) is theta


@pytest.mark.parametrize("seed", range(5))
def test_on_a_linear_loss_the_ascent_ends_at_the_corner_of_the_ball(seed):
    """Rows far from the borders, with as many good as bad operations, so that the corner's rows sum to 1."""
    theta = {"": torch.full((6, 4), 0.25, dtype=torch.float64)}
    costs = torch.tensor([1.0, -2.0, 3.0, -4.0], dtype=torch.float64).expand(6, 4)
    found = Adversarial(epsilon=0.05).perturbed(
        theta, lambda moved: (costs * moved[""]).sum(), {"": np.ones((6, 4), bool)}, MIDDLE, seeded(seed)
    )[""]
    torch.testing.assert_close(found, theta[""] + 0.05 * costs.sign(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("steps", [1, 7])
def test_the_loss_is_asked_for_twice_and_once_a_step(steps):
    calls = []

    def loss(moved):
        calls.append(moved)
        return linear(moved)

    perturbed(Adversarial(steps=steps), weights(), loss=loss)
    assert len(calls) == steps + 2


def test_a_first_step_from_the_start_is_a_sign_step_projected_and_clipped():
    """One step written out."""
    theta, epsilon = weights(dtype=torch.float64), 0.1
    start = shaken(theta, epsilon, CELL.all_alive(), seeded(1))[""]
    risen = start + 2 * epsilon * COSTS[""].double().sign()
    near = theta[""] + (risen - theta[""]).clamp(-epsilon, epsilon)
    inside = near.clamp(0, 1)
    found = perturbed(Adversarial(epsilon=epsilon, steps=1), theta)[""]
    torch.testing.assert_close(found, inside / inside.sum(1, keepdim=True))


def test_kinds_that_the_loss_does_not_read_are_shaken_only():
    theta = {"normal": torch.full((2, 3), 1 / 3), "reduce": torch.full((2, 3), 1 / 3)}
    alive = {kind: np.ones((2, 3), bool) for kind in theta}
    found = Adversarial(epsilon=0.1).perturbed(
        theta, lambda moved: moved["normal"][:, 0].sum(), alive, MIDDLE, seeded()
    )
    assert set(found) == {"normal", "reduce"}


def test_steps_below_1_are_refused():
    with pytest.raises(ValueError, match="steps: 0 is below 1"):
        Adversarial(steps=0)


def test_on_a_supernet_in_evaluation_mode_it_leaves_no_trace():
    supernet = NasBench201(channels=2, cells=1, stages=2).supernet(
        get_space("nas_bench_201"), in_channels=1, n_classes=3, generator=seeded()
    )
    images, labels = torch.randn(8, 1, 4, 4, generator=seeded()), torch.arange(8) % 3
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    alive = CELL.all_alive()

    def loss(theta):
        supernet.eval()
        return torch.nn.functional.cross_entropy(supernet(images, Mixing(theta, alive)), labels)

    theta = weights()
    found = perturbed(Adversarial(epsilon=0.3), theta, loss=loss)
    assert loss(found) >= loss(theta)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert all(tensor.grad is None for tensor in supernet.parameters())
