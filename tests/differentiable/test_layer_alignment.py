"""Lambda-DARTS: the gradient of the network weights that makes cells agree."""

from __future__ import annotations

import pickle
from itertools import combinations

import pytest
import torch
from objectives import CELL

from raynas.config.building import Builder
from raynas.differentiable.schedule import Progress, Ramp, value
from raynas.differentiable.weight_regularizer.layer_alignment import LayerAlignment, ascent
from raynas.spaces import get_space
from raynas.supernets.layout import Layout
from raynas.supernets.mixing import Mixing
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

torch.set_num_threads(1)

KINDS = ["corr", "signcorr"]
DARTS = Layout(get_space("darts_s2"))
LAST = Progress(49, 50)
N_CELLS = 4


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def correlation(gradients, kind):
    """By its definition, pair by pair."""
    pairs = list(combinations(gradients.flatten(1), 2))
    if kind == "corr":
        return sum((a @ b) / (a.norm() * b.norm()) for a, b in pairs) / len(pairs)
    return sum((a @ b) / (a.abs() @ b.abs()) for a, b in pairs) / len(pairs)


class Toy:
    """A smooth loss of two tensors of weights and four cells' mixing weights, in which all interact."""

    def __init__(self, layout=CELL, dtype=torch.float64, seed=0):
        generator = seeded(seed)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

        self.layout = layout
        self.weights = [draw(7).requires_grad_(), draw(2, 3).requires_grad_()]
        self.theta = {
            kind: draw(N_CELLS, len(edges), layout.n_columns).softmax(-1)
            for kind, edges in layout.edges.items()
        }
        n = {kind: rows[0].numel() for kind, rows in self.theta.items()}
        self.maps = {kind: draw(N_CELLS, 13, size) / size**0.5 for kind, size in n.items()}
        self.calls = []

    def __call__(self, theta):
        self.calls.append(theta)
        flat = torch.cat([tensor.flatten() for tensor in self.weights])
        total = 0.0
        for kind, maps in self.maps.items():
            seen = torch.einsum("cij,cj->ci", maps, theta[kind].flatten(1))
            total = total + torch.tanh(seen * flat).sum() + (seen.sum(0) * flat.sin()).pow(2).sum()
        return total

    def gradients(self, component, progress=LAST):
        return component.gradients(self.theta, self, self.weights, self.layout, progress)

    def plain(self):
        return torch.autograd.grad(self(self.theta), self.weights)

    def exact(self, kind, of="normal"):
        """The derivative of the correlation by the weights, by double backward."""
        leaves = {name: rows.clone().requires_grad_() for name, rows in self.theta.items()}
        part = leaves[of if of in leaves else ""]
        (g,) = torch.autograd.grad(self(leaves), part, create_graph=True)
        return torch.autograd.grad(correlation(g, kind), self.weights)


# The gradient


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", [CELL, DARTS], ids=["nas_bench_201", "darts"])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_loss_less_the_weighted_correlation(kind, layout, seed):
    """In the DARTS family that of the normal cells."""
    toy = Toy(layout, seed=seed)
    found = toy.gradients(LayerAlignment(weight=0.7, correlation=kind, epsilon0=1e-3))
    for gradient, plain, derivative in zip(found, toy.plain(), toy.exact(kind), strict=True):
        torch.testing.assert_close(gradient, plain - 0.7 * derivative, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_finite_difference_is_exact_where_the_loss_is_quadratic_in_the_mixing_weights(kind):
    generator = seeded(3)
    weights = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_()
    theta = {"": torch.rand(3, 6, 5, generator=generator, dtype=torch.float64)}
    forms = torch.randn(5, 90, 90, generator=generator, dtype=torch.float64)

    def loss(moved):
        flat = moved[""].flatten()
        return torch.einsum("w,wij,i,j->", weights, forms, flat, flat)

    leaf = theta[""].clone().requires_grad_()
    (g,) = torch.autograd.grad(loss({"": leaf}), leaf, create_graph=True)
    (derivative,) = torch.autograd.grad(correlation(g, kind), weights)
    (plain,) = torch.autograd.grad(loss(theta), weights)
    for epsilon0 in (1e-2, 1.0):
        made = LayerAlignment(weight=1.0, correlation=kind, epsilon0=epsilon0)
        (found,) = made.gradients(theta, loss, [weights], CELL, LAST)
        torch.testing.assert_close(plain - found, derivative, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_direction_is_the_derivative_of_the_correlation(kind):
    for seed in range(10):
        gradients = torch.randn(5, 12, generator=seeded(seed), dtype=torch.float64).requires_grad_()
        (due,) = torch.autograd.grad(correlation(gradients, kind), gradients)
        torch.testing.assert_close(ascent(gradients.detach(), kind), due, rtol=1e-9, atol=1e-12)
        assert -1 <= correlation(gradients, kind) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_along_the_gradient_makes_cells_agree(kind):
    toy = Toy()
    plain, found = toy.plain(), toy.gradients(LayerAlignment(weight=1.0, correlation=kind))
    leaf = toy.theta[""].clone().requires_grad_()
    before = correlation(torch.autograd.grad(toy({"": leaf}), leaf)[0], kind)
    with torch.no_grad():
        for tensor, gradient, of_loss in zip(toy.weights, found, plain, strict=True):
            tensor -= 1e-3 * (gradient - of_loss)
    after = correlation(torch.autograd.grad(toy({"": leaf}), leaf)[0], kind)
    assert after > before


# What it leaves alone


@pytest.mark.parametrize("kind", KINDS)
def test_at_weight_0_it_is_the_plain_gradient_to_the_last_bit(kind):
    toy = Toy(dtype=torch.float32)
    due = toy.plain()
    for component, progress in [
        (LayerAlignment(**LayerAlignment.neutral, correlation=kind), LAST),
        (LayerAlignment(correlation=kind), Progress(0, 50)),  # the ramp's first epoch
    ]:
        toy.calls.clear()
        assert all(map(torch.equal, toy.gradients(component, progress), due))
        assert len(toy.calls) == 1


def test_the_weight_rises_to_0125_in_the_last_epoch():
    assert LayerAlignment().weight == Ramp((0.0, 0.125))
    assert value(LayerAlignment().weight, LAST) == 0.125


@pytest.mark.parametrize("kind", KINDS)
def test_it_asks_for_the_loss_three_times_and_moves_normal_cells_only_by_epsilon0(kind):
    toy = Toy(DARTS)
    toy.gradients(LayerAlignment(weight=0.5, correlation=kind, epsilon0=1e-3))
    assert len(toy.calls) == 3
    for call in toy.calls:
        assert torch.equal(call["reduce"], toy.theta["reduce"])
    for call in toy.calls[1:]:
        assert float((call["normal"] - toy.theta["normal"]).norm()) == pytest.approx(1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gradients", ["alike", "unequal", "one cell", "zeros"])
def test_where_nothing_can_agree_better_the_gradient_is_the_plain_one(kind, gradients):
    weights = torch.ones(3, dtype=torch.float64).requires_grad_()
    theta = {"": torch.full((1 if gradients == "one cell" else 3, 6, 5), 0.2, dtype=torch.float64)}
    scales = {"unequal": [1.0, 2.0, 4.0], "zeros": [0.0] * 3}.get(gradients, [1.0] * 3)

    def loss(moved):
        return sum(scale * cell.sum() for scale, cell in zip(scales, moved[""], strict=False)) * weights.sum()

    (plain,) = torch.autograd.grad(loss(theta), weights)
    (found,) = LayerAlignment(weight=0.5, correlation=kind).gradients(theta, loss, [weights], CELL, LAST)
    torch.testing.assert_close(found, plain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_whose_gradient_is_zero_is_skipped(kind):
    gradients = torch.randn(4, 6, generator=seeded(), dtype=torch.float64)
    gradients[2] = 0
    found = ascent(gradients, kind)
    assert found.isfinite().all()
    if kind == "corr":
        assert (found[2] == 0).all()
    others = [0, 1, 3]
    # the mean is over the pairs of four cells, of which three make three
    torch.testing.assert_close(found[others], ascent(gradients[others], kind) * 3 / 6)


def test_weights_that_the_loss_does_not_read_have_zeros():
    toy = Toy()
    unread = torch.ones(2, dtype=torch.float64).requires_grad_()
    found = LayerAlignment(weight=0.5).gradients(toy.theta, toy, [*toy.weights, unread], CELL, LAST)
    assert torch.equal(found[-1], torch.zeros(2, dtype=torch.float64))
    assert all(not gradient.requires_grad for gradient in found)


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_supernet_in_double_precision_it_is_the_exact_derivative(kind):
    supernet = NasBench201(channels=2, cells=1, stages=3).supernet(
        get_space("nas_bench_201"), in_channels=1, n_classes=3, generator=seeded()
    )
    supernet.double()
    images = torch.randn(12, 1, 4, 4, generator=seeded(), dtype=torch.float64)
    labels = torch.arange(12) % 3
    theta = {"": torch.randn(3, 6, 5, generator=seeded(1), dtype=torch.float64).softmax(-1)}
    weights = list(supernet.parameters())

    def loss(moved):
        return torch.nn.functional.cross_entropy(supernet(images, Mixing(moved, CELL.all_alive())), labels)

    leaf = theta[""].clone().requires_grad_()
    (g,) = torch.autograd.grad(loss({"": leaf}), leaf, create_graph=True)
    exact = torch.autograd.grad(
        correlation(g, kind), weights, allow_unused=True, materialize_grads=True, retain_graph=True
    )
    plain = torch.autograd.grad(loss(theta), weights, allow_unused=True, materialize_grads=True)
    made = LayerAlignment(weight=1.0, correlation=kind, epsilon0=1e-5)
    found = made.gradients(theta, loss, weights, CELL, LAST)
    term = torch.cat([(a - b).flatten() for a, b in zip(plain, found, strict=True)])
    due = torch.cat([part.flatten() for part in exact])
    assert float((term - due).norm() / due.norm()) < 1e-4
    assert all(tensor.grad is None for tensor in weights)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_reproducible_and_single_precision_is_close_to_double(kind):
    single, again, double = (
        Toy(dtype=dtype).gradients(LayerAlignment(weight=0.5, correlation=kind, epsilon0=1e-2))
        for dtype in (torch.float32, torch.float32, torch.float64)
    )
    for a, b, c in zip(single, again, double, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)
        torch.testing.assert_close(a.double(), c, rtol=2e-2, atol=2e-2)


# Hyperparameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -0.1}, "weight: -0.1 is negative"),
        ({"weight": Ramp((0.0, float("inf")))}, "weight: inf is negative or not finite"),
        ({"epsilon0": 0.0}, "epsilon0: 0.0 is not positive and finite; give 1e-4 or so"),
        ({"epsilon0": float("nan")}, "epsilon0: nan is not positive"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LayerAlignment(**options)


def test_hyperparameters_are_a_value_that_yaml_gives():
    builder = Builder()
    made = builder.build(LayerAlignment, {"weight": {"ramp": [0, 0.25]}, "correlation": "signcorr"})
    assert not builder.problems
    assert made == LayerAlignment(Ramp((0.0, 0.25)), "signcorr") == pickle.loads(pickle.dumps(made))
    assert Builder().build(LayerAlignment, {"correlation": "sign"}) is None
