"""Penalties on the architecture parameters: beta-decay, and the divergence of Dirichlet laws."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from objectives import CELL, objective_of, only, random_parameters, same
from torch.distributions import Dirichlet, kl_divergence

from raynas.config.building import Builder
from raynas.differentiable.arch_regularizer.beta import Beta
from raynas.differentiable.arch_regularizer.kl import KL, divergence
from raynas.differentiable.relaxation.dirichlet import concentration
from raynas.differentiable.schedule import Linear, Progress
from raynas.spaces import get_space
from raynas.supernets.layout import Layout

torch.set_num_threads(1)

FLOATS = [torch.float32, torch.float64]
DARTS = Layout(get_space("darts"))
ANY = Progress(3, 50)
NARROWED = only(CELL, {("", 0): (3,), ("", 2): (), ("", 4): (1, 3)})
ALIVE = pytest.mark.parametrize("alive", [CELL.all_alive(), NARROWED], ids=["all", "narrowed"])


def penalized(component, logits, *, alive=None, progress=ANY):
    """The penalty and its gradient."""
    leaves = {kind: rows.clone().requires_grad_() for kind, rows in logits.items()}
    alive = alive or {kind: np.ones(rows.shape, bool) for kind, rows in logits.items()}
    penalty = component.penalty(leaves, alive, progress)
    return penalty.detach(), dict(
        zip(leaves, torch.autograd.grad(penalty, list(leaves.values())), strict=True)
    )


# Beta-decay


@pytest.mark.parametrize("dtype", FLOATS)
def test_beta_decay_is_the_known_number_and_its_gradient_the_softmax_over_edges(dtype):
    """Rows (1, 2, 3) and (0, 0, 0): (3.40761 + 1.09861) / 2."""
    logits = {"": torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=dtype)}
    penalty, gradient = penalized(Beta(weight=1.0), logits)
    assert penalty.dtype == dtype
    assert penalty.item() == pytest.approx(2.25311, abs=1e-5)
    due = torch.tensor([[0.0450, 0.1224, 0.3326], [1 / 6] * 3], dtype=dtype)
    torch.testing.assert_close(gradient[""], due, atol=5e-5, rtol=0)
    torch.testing.assert_close(gradient[""], torch.softmax(logits[""], -1) / 2)


@pytest.mark.parametrize(
    ("component", "epoch", "epochs", "weight"),
    [
        (Beta(), 1, 100, 0.5),
        (Beta(), 99, 100, 49.5),
        (Beta(Linear((0.0, 25.0))), 1, 50, 0.5),
        (Beta(Linear((0.0, 25.0))), 49, 50, 24.5),
    ],
    ids=str,
)
def test_its_weight_grows_by_a_half_an_epoch(component, epoch, epochs, weight):
    logits = random_parameters()
    found, _ = penalized(component, logits, progress=Progress(epoch, epochs))
    torch.testing.assert_close(found, penalized(Beta(weight), logits)[0])


@pytest.mark.parametrize(
    ("balance", "normal", "reduce"), [(0.5, 1.0, 1.0), (0.8, 1.6, 0.4), (0.0, 0.0, 2.0), (1.0, 2.0, 0.0)]
)
def test_balance_shares_it_between_normal_and_reduction_cells(balance, normal, reduce):
    logits = random_parameters(DARTS)
    mean = {kind: torch.logsumexp(rows, -1).mean() for kind, rows in logits.items()}
    penalty, gradient = penalized(Beta(3.0, balance), logits)
    torch.testing.assert_close(penalty, 3 * (normal * mean["normal"] + reduce * mean["reduce"]))
    for kind, share in (("normal", normal), ("reduce", reduce)):
        torch.testing.assert_close(gradient[kind], 3 * share * torch.softmax(logits[kind], -1) / 14)


def test_beta_decay_is_over_what_is_alive_and_leaves_decided_edges_alone():
    logits = random_parameters()
    penalty, gradient = penalized(Beta(weight=1.0), logits, alive=NARROWED)
    rows = logits[""]
    due = torch.logsumexp(rows[[1, 3, 5]], -1).sum() + torch.logsumexp(rows[4, [1, 3]], -1)
    torch.testing.assert_close(penalty, due / 6)
    assert (gradient[""][~torch.tensor(NARROWED[""])] == 0).all()
    assert (gradient[""][[0, 2]] == 0).all()


def test_a_great_weight_makes_an_edges_logits_equal():
    logits = random_parameters()
    for _ in range(100):
        _, gradient = penalized(Beta(weight=50.0), logits)
        logits = {"": logits[""] - 0.1 * gradient[""]}
    softened = torch.softmax(logits[""], -1)
    torch.testing.assert_close(softened, torch.full_like(softened, 0.2), atol=1e-3, rtol=0)


# Divergence


def test_two_uniform_laws_diverge_by_nothing():
    ones = torch.ones(4, 5, dtype=torch.float64)
    assert divergence(ones, ones.bool()).abs().max() < 1e-12
    penalty, gradient = penalized(KL(1.0), {"": torch.zeros(4, 5, dtype=torch.float64)})
    assert abs(penalty.item()) < 1e-12
    assert gradient[""].abs().max() < 1e-12


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_divergence_of_a_law_with_one_concentration_of_two_is_the_known_number(dtype):
    """ln 3 + psi(2) - psi(4)."""
    b = torch.tensor([[2.0, 1.0, 1.0]], dtype=dtype)
    found = divergence(b, torch.ones(1, 3, dtype=torch.bool))
    assert found.dtype == dtype
    assert found.item() == pytest.approx(0.26528, abs=1e-5)
    assert found.item() == pytest.approx(math.log(3) + 1 - (1 + 1 / 2 + 1 / 3), rel=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_penalty_and_its_gradient_are_torchs_divergence_summed_over_edges(dtype):
    logits = random_parameters(DARTS, dtype=dtype)
    penalty, gradient = penalized(KL(0.3), logits)
    leaves = {kind: rows.double().requires_grad_() for kind, rows in logits.items()}
    due = sum(
        kl_divergence(Dirichlet(concentration(rows)), Dirichlet(torch.ones_like(rows))).sum()
        for rows in leaves.values()
    )
    torch.testing.assert_close(penalty, (0.3 * due).detach().to(dtype))
    for kind, one in zip(leaves, torch.autograd.grad(0.3 * due, list(leaves.values())), strict=True):
        torch.testing.assert_close(gradient[kind], one.to(dtype), rtol=1e-4, atol=1e-6)


def test_the_divergence_is_that_of_the_law_of_what_is_alive():
    logits = random_parameters()
    penalty, gradient = penalized(KL(1.0), logits, alive=NARROWED)
    b = concentration(logits[""])
    laws = [b[1], b[3], b[4, [1, 3]], b[5]]
    due = sum(kl_divergence(Dirichlet(one), Dirichlet(torch.ones_like(one))) for one in laws)
    torch.testing.assert_close(penalty, due)
    assert (gradient[""][~torch.tensor(NARROWED[""])] == 0).all()
    assert (gradient[""][[0, 2]] == 0).all()


# Both

BOTH = pytest.mark.parametrize("component", [Beta(weight=2.0), KL(weight=0.5)], ids=["beta", "kl"])


@BOTH
@ALIVE
def test_gradients_are_finite_differences_of_the_penalty(component, alive):
    logits = {kind: rows.requires_grad_() for kind, rows in random_parameters().items()}
    assert torch.autograd.gradcheck(lambda rows: component.penalty({"": rows}, alive, ANY), logits[""])


@BOTH
def test_a_penalty_leaves_the_logits_alone_and_is_the_same_twice(component):
    logits = random_parameters()
    before = {kind: rows.clone() for kind, rows in logits.items()}
    a, b = (penalized(component, logits) for _ in range(2))
    assert torch.equal(a[0], b[0])
    assert same(a[1], b[1])
    assert same(logits, before)


@BOTH
def test_where_all_is_decided_there_is_nothing_to_penalize(component):
    alive = only(CELL, {("", row): (row,) if row < 5 else () for row in range(6)})
    penalty, gradient = penalized(component, random_parameters(), alive=alive)
    assert penalty.item() == 0
    assert (gradient[""] == 0).all()


@pytest.mark.parametrize(
    ("component", "progress"),
    [
        (Beta(**Beta.neutral), ANY),
        (Beta(), Progress(0, 100)),
        (KL(**KL.neutral), ANY),
        (KL(Linear((0.0, 1.0))), Progress(0, 100)),
    ],
    ids=str,
)
def test_without_a_weight_there_is_no_penalty_at_all(component, progress):
    assert component.penalty(random_parameters(), CELL.all_alive(), progress) is None


def test_inside_an_objective_the_penalty_adds_its_gradient():
    alpha = random_parameters()
    plain = objective_of(lambda tree: (tree[""] ** 2).sum())
    beta = Beta(weight=2.0)
    with_penalty = objective_of(
        lambda tree: (tree[""] ** 2).sum() + beta.penalty(tree, CELL.all_alive(), ANY)
    )
    due = plain.gradient(alpha)[""] + penalized(beta, alpha)[1][""]
    torch.testing.assert_close(with_penalty.gradient(alpha)[""], due)


@pytest.mark.parametrize("component", [Beta(), Beta(1.0, 0.8), KL(), KL(Linear((0.0, 1.0)))], ids=str)
def test_a_component_is_a_value(component):
    assert pickle.loads(pickle.dumps(component)) == component
    assert hash(pickle.loads(pickle.dumps(component))) == hash(component)


def test_they_are_built_from_a_file_and_bad_values_are_refused_in_words():
    builder = Builder()
    assert builder.build(Beta, {"weight": {"linear": [0, 25]}, "balance": 0.8}) == Beta(
        Linear((0.0, 25.0)), 0.8
    )
    assert builder.build(KL, {}) == KL(1e-3)
    assert not builder.problems
    assert builder.build(Beta, {"weight": -1, "balance": 1.5}) is None
    assert builder.build(KL, {"weight": {"linear": [0, -1]}}) is None
    assert builder.problems == [
        (("weight",), "-1.0 is negative or not finite; give 0 or more"),
        (("balance",), "1.5 is outside [0, 1]; give 0.5 for equal shares"),
        (("weight",), "-1.0 is negative or not finite; give 0 or more"),
    ]


def test_a_balance_needs_two_kinds_of_cells():
    ((field, message),) = Beta(balance=0.8).problems(get_space("nas_bench_201"))
    assert field == "balance"
    assert message == "nas_bench_201 has no normal and reduction cells to weigh; leave it at 0.5"
    assert not list(Beta().problems(get_space("nas_bench_201")))
    assert not list(Beta(balance=0.8).problems(get_space("darts")))
