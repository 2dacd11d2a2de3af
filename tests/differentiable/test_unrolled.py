"""The gradient through one step of the weights: closed forms, and autograd through that step."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from objectives import objective_of, same

from raynas.config.building import Builder
from raynas.differentiable.arch_gradient.a2m import A2M
from raynas.differentiable.arch_gradient.unrolled import Unrolled
from raynas.differentiable.objective import Unrolling
from raynas.differentiable.schedule import Linear, Progress

torch.set_num_threads(1)

FLOATS = [torch.float32, torch.float64]


def unrolling_of(train, valid, weights, *, momentum=None, lr=0.1, momentum_factor=0.0, weight_decay=0.0):
    """Of losses that are functions of weights and parameters, dicts of tensors."""
    momentum = momentum or {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    return Unrolling(weights, momentum, train, valid, lr, momentum_factor, weight_decay)


def objective_with(unrolling, **options):
    """Its plain loss is the validation loss at the weights as they are."""
    return objective_of(
        lambda alpha: unrolling.valid_loss(unrolling.weights, alpha), unrolling=unrolling, **options
    )


# The toy of the paper


def toy(dtype=torch.float64, **options):
    """Lv = alpha w - 2 alpha + 1, Lt = w^2 - 2 alpha w + alpha^2, alpha = 2, w = -2 (DARTS, Fig. 2)."""

    def train(weights, alpha):
        w, a = weights["w"], alpha[""]
        return (w**2 - 2 * a * w + a**2).sum()

    def valid(weights, alpha):
        return (alpha[""] * weights["w"] - 2 * alpha[""] + 1).sum()

    unrolling = unrolling_of(train, valid, {"w": torch.tensor([-2.0], dtype=dtype)}, **options)
    return {"": torch.tensor([2.0], dtype=dtype)}, objective_with(unrolling)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("epsilon", [0.01, 1.0])
def test_on_the_papers_toy_it_is_the_known_value(dtype, epsilon):
    """w' = -1.2; the finite difference is exact here."""
    alpha, objective = toy(dtype)
    assert objective.gradient(alpha)[""].item() == -4.0
    found = Unrolled(epsilon=epsilon).gradient(alpha, objective)[""]
    assert found.dtype == dtype
    assert found.item() == pytest.approx(-2.8, abs=1e-4 if dtype == torch.float32 else 1e-12)


def test_momentum_and_weight_decay_move_the_weights_that_it_looks_ahead_to():
    """w' = -2 - 0.1 (0.9 * 5 + (-8) + 0.5 * (-2)) = -1.55, so w' - 2 + xi * 2 * alpha = -3.15."""
    momentum = {"w": torch.tensor([5.0], dtype=torch.float64)}
    alpha, objective = toy(momentum=momentum, momentum_factor=0.9, weight_decay=0.5)
    assert Unrolled().gradient(alpha, objective)[""].item() == pytest.approx(-1.55 - 2 + 0.1 * 2 * 2)


def test_a_learning_rate_of_its_own_takes_the_place_of_the_weights():
    alpha, objective = toy(lr=99.0)
    assert Unrolled(xi=0.1).gradient(alpha, objective)[""].item() == pytest.approx(-2.8)


# A network


def network(dtype=torch.float64, **options):
    """A net of two smooth layers that mixes two activations, with separate batches."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    batches = {name: (normal(8, 3), normal(8)) for name in ("train", "valid")}
    weights = {"first": normal(3, 4), "second": normal(4), "unused": normal(2)}

    def loss_on(name):
        x, y = batches[name]

        def loss(weights, alpha):
            theta = torch.softmax(alpha["normal"], -1)
            hidden = x @ weights["first"]
            mixed = theta[0, 0] * torch.tanh(hidden) + theta[0, 1] * torch.sin(hidden)
            return ((mixed @ weights["second"] - y) ** 2).mean() * (1 + theta[1, 0])

        return loss

    options = {"lr": 0.05} | options
    unrolling = unrolling_of(loss_on("train"), loss_on("valid"), weights, **options)
    return {"normal": normal(2, 2)}, objective_with(unrolling)


def exact(alpha, objective, xi):
    """By autograd through the step."""
    one = objective.unrolling
    leaf = {name: tensor.clone().requires_grad_() for name, tensor in alpha.items()}
    weights = {name: tensor.clone().requires_grad_() for name, tensor in one.weights.items()}
    slopes = torch.autograd.grad(
        one.train_loss(weights, leaf),
        list(weights.values()),
        create_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    ahead = {
        name: tensor - xi * (one.momentum_factor * one.momentum[name] + slope + one.weight_decay * tensor)
        for (name, tensor), slope in zip(weights.items(), slopes, strict=True)
    }
    return torch.autograd.grad(one.valid_loss(ahead, leaf), leaf["normal"])[0]


@pytest.mark.parametrize(("momentum_factor", "weight_decay"), [(0.0, 0.0), (0.9, 3e-4), (0.9, 0.1)])
def test_on_a_network_it_is_the_derivative_through_the_step(momentum_factor, weight_decay):
    momentum = {name: torch.full_like(tensor, 0.3) for name, tensor in network()[1].unrolling.weights.items()}
    alpha, objective = network(momentum=momentum, momentum_factor=momentum_factor, weight_decay=weight_decay)
    found = Unrolled(epsilon=1e-3).gradient(alpha, objective)["normal"]
    due = exact(alpha, objective, 0.05)
    torch.testing.assert_close(found, due, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(found, objective.gradient(alpha)["normal"], rtol=1e-2)


def test_with_the_papers_width_the_finite_difference_is_close_in_single_precision_too():
    alpha, objective = network(torch.float32)
    found = Unrolled().gradient(alpha, objective)["normal"]
    torch.testing.assert_close(found, exact(alpha, objective, 0.05), rtol=1e-3, atol=1e-4)


# Laws


@pytest.mark.parametrize("xi", [0.0, Linear((0.0, 0.1))], ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
def test_without_a_learning_rate_it_is_the_plain_gradient_to_the_last_bit(xi, dtype):
    alpha, objective = network(dtype)
    assert same(Unrolled(xi).gradient(alpha, objective), objective.gradient(alpha))
    assert same(Unrolled(**Unrolled.neutral).gradient(alpha, objective), objective.gradient(alpha))


def test_a_learning_rate_near_zero_gives_nearly_the_plain_gradient():
    alpha, objective = network()
    found = Unrolled(xi=1e-9).gradient(alpha, objective)
    torch.testing.assert_close(found["normal"], objective.gradient(alpha)["normal"])


def test_parameters_and_weights_and_momentum_are_left_as_they_were():
    alpha, objective = network(momentum_factor=0.9, weight_decay=0.1)
    trees = (alpha, objective.unrolling.weights, objective.unrolling.momentum)
    before = [{name: tensor.clone() for name, tensor in tree.items()} for tree in trees]
    Unrolled().gradient(alpha, objective)
    assert all(map(same, trees, before))
    tensors = [tensor for tree in trees for tensor in tree.values()]
    assert not any(tensor.requires_grad or tensor.grad is not None for tensor in tensors)


def test_it_gives_the_same_twice_and_no_graph_is_left():
    alpha, objective = network()
    a, b = (Unrolled().gradient(alpha, objective) for _ in range(2))
    assert same(a, b)
    assert not a["normal"].requires_grad


def test_a_validation_loss_without_weights_has_nothing_to_look_ahead_with():
    alpha, objective = network()
    alone = replace(objective.unrolling, valid_loss=lambda weights, alpha: alpha["normal"].square().sum())
    found = Unrolled().gradient(alpha, objective_with(alone))
    torch.testing.assert_close(found["normal"], 2 * alpha["normal"])


def test_weights_may_be_called_what_parameters_are():
    """The toy again, with one name for both."""

    def train(weights, alpha):
        return (weights[""] ** 2 - 2 * alpha[""] * weights[""] + alpha[""] ** 2).sum()

    def valid(weights, alpha):
        return (alpha[""] * weights[""] - 2 * alpha[""] + 1).sum()

    unrolling = unrolling_of(train, valid, {"": torch.tensor([-2.0], dtype=torch.float64)})
    alpha = {"": torch.tensor([2.0], dtype=torch.float64)}
    assert Unrolled().gradient(alpha, objective_with(unrolling))[""].item() == pytest.approx(-2.8)


def test_the_learning_rate_may_change_with_the_epochs():
    alpha, objective = network()
    middle = objective_with(objective.unrolling, progress=Progress(25, 50))
    found = Unrolled(Linear((0.0, 0.1))).gradient(alpha, middle)
    assert same(found, Unrolled().gradient(alpha, middle))


def test_a2m_can_differentiate_it():
    """On the toy the unrolled loss is 0.8 w alpha + 0.2 alpha^2 + ..., a parabola of Hessian 4 xi."""
    alpha, objective = toy()
    found = A2M(0.1, inner=Unrolled()).gradient(alpha, objective)[""]
    assert found.item() == pytest.approx(-2.8 * (1 + 0.1 * 0.4) ** 2)


def test_an_objective_without_a_next_step_is_refused_in_words():
    with pytest.raises(ValueError, match="unrolled: the objective knows no next step of the weights; use"):
        Unrolled().gradient({"": torch.ones(1)}, objective_of(lambda alpha: alpha[""].sum()))


def test_it_is_a_value_built_from_a_file_and_bad_values_are_refused_in_words():
    builder = Builder()
    assert builder.build(Unrolled, {}) == Unrolled()
    assert builder.build(Unrolled, {"xi": {"cosine": [0.1, 0]}, "epsilon": 0.1}).epsilon == 0.1
    assert not builder.problems
    assert builder.build(Unrolled, {"xi": -1}) is None
    assert builder.build(Unrolled, {"epsilon": 0}) is None
    assert [path for path, _ in builder.problems] == [("xi",), ("epsilon",)]
    assert pickle.loads(pickle.dumps(Unrolled(0.5))) == Unrolled(0.5)
    assert hash(Unrolled(0.5)) == hash(Unrolled(0.5))
