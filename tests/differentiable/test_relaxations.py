"""Relaxations that draw: Dirichlet (DrNAS) and hard Gumbel-softmax (GDAS)."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from objectives import CELL, only, random_parameters, same
from scipy.stats import beta, kstest
from torch.nn import functional

from raynas.config.building import Builder
from raynas.differentiable.relaxation.dirichlet import Dirichlet, concentration
from raynas.differentiable.relaxation.gumbel import Gumbel
from raynas.differentiable.relaxation.softmax import Softmax, masked_softmax
from raynas.differentiable.schedule import Linear, Progress
from raynas.spaces import get_space
from raynas.supernets.layout import Layout
from raynas.supernets.mixed_edge import EdgeMixing, EdgeShape, MixedEdge

torch.set_num_threads(1)

START = Progress(0, 50)
FLOATS = [torch.float32, torch.float64]
DRAWING = [Dirichlet(), Dirichlet(evaluate="mean"), Gumbel(), Gumbel(evaluate="softmax")]
ALL = [Softmax(), *DRAWING, Gumbel(evaluate="sample")]
NARROWED = only(CELL, {("", 0): (3,), ("", 2): (), ("", 4): (1, 3)})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(relaxation, logits, *, alive=None, seed=0, progress=START):
    return relaxation.theta(logits, alive or CELL.all_alive(), progress, seeded(seed))


def many(relaxation, row, n, *, alive=None):
    """``(n, columns)`` draws of the weights of one edge, with a graph to its logits."""
    alive = np.ones(len(row), bool) if alive is None else np.array(alive)
    alive = {"": np.tile(alive, (n, 1))}
    return relaxation.theta({"": row.expand(n, -1)}, alive, START, seeded()).theta[""]


# Every relaxation


@pytest.mark.parametrize("relaxation", ALL, ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("alive", [CELL.all_alive(), NARROWED], ids=["all", "narrowed"])
def test_weights_of_what_is_left_on_an_edge_sum_to_one_and_all_others_are_zero(relaxation, dtype, alive):
    logits = random_parameters(dtype=dtype)
    evaluated = getattr(relaxation, "evaluated", relaxation.theta)
    for seed, relax in enumerate([relaxation.theta, evaluated] * 10):
        theta = relax(logits, alive, START, seeded(seed)).theta[""]
        assert theta.dtype == dtype
        assert (theta >= 0).all()
        assert (theta[~torch.tensor(alive[""])] == 0).all()
        due = torch.tensor(alive[""].any(1)).to(dtype)
        torch.testing.assert_close(theta.sum(-1), due)


@pytest.mark.parametrize("relaxation", ALL, ids=str)
def test_a_draw_is_its_generators_and_leaves_the_logits_alone(relaxation):
    logits = random_parameters()
    before = {kind: rows.clone() for kind, rows in logits.items()}
    torch.manual_seed(1)
    a, b = (drawn(relaxation, logits, seed=5).theta for _ in range(2))
    assert same(a, b)
    assert same(logits, before)
    torch.manual_seed(1)
    untouched = torch.rand(1)
    torch.manual_seed(1)
    drawn(relaxation, logits)
    assert torch.equal(torch.rand(1), untouched)


@pytest.mark.parametrize("relaxation", DRAWING, ids=str)
def test_draws_of_two_seeds_differ_and_so_do_those_of_one_generator(relaxation):
    logits = random_parameters(scale=0.1)
    assert not same(drawn(relaxation, logits, seed=0).theta, drawn(relaxation, logits, seed=1).theta)
    generator = seeded()
    a, b = (relaxation.theta(logits, CELL.all_alive(), START, generator).theta for _ in range(2))
    assert not same(a, b)


@pytest.mark.parametrize("relaxation", ALL, ids=str)
def test_no_gradient_reaches_what_is_not_alive_or_is_decided(relaxation):
    rows = random_parameters()[""].requires_grad_()
    torch.manual_seed(0)
    theta = drawn(relaxation, {"": rows}, alive=NARROWED).theta[""]
    (theta * torch.randn(theta.shape, dtype=theta.dtype)).sum().backward()
    assert (rows.grad[~torch.tensor(NARROWED[""])] == 0).all()
    torch.testing.assert_close(rows.grad[[0, 2]], torch.zeros(2, 5, dtype=theta.dtype), atol=1e-14, rtol=0)
    assert (rows.grad[4, [1, 3]] != 0).all()


@pytest.mark.parametrize("relaxation", ALL, ids=str)
def test_a_relaxation_is_a_value(relaxation):
    assert pickle.loads(pickle.dumps(relaxation)) == relaxation
    assert hash(relaxation) == hash(type(relaxation)(**vars(relaxation)))


# Dirichlet


def test_logits_of_zero_have_concentrations_of_exactly_one():
    assert torch.equal(concentration(torch.zeros(6, 5)), torch.ones(6, 5))


def test_concentrations_are_exponential_below_zero_and_linear_above():
    numbers = torch.tensor([-2.0, -0.5, 0.5, 3.0], dtype=torch.float64)
    due = torch.tensor([np.exp(-2.0), np.exp(-0.5), 1.5, 4.0])
    torch.testing.assert_close(concentration(numbers), due)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_gradients_of_a_sample_are_those_of_torchs_dirichlet(dtype, monkeypatch):
    """Its rsample is made to draw what ours drew."""
    rows = random_parameters()[""].to(dtype).requires_grad_()
    outside = torch.randn((6, 5), generator=seeded(9), dtype=dtype)
    ours = drawn(Dirichlet(), {"": rows}, seed=3).theta[""]
    (gradient,) = torch.autograd.grad((outside * ours).sum(), rows)

    monkeypatch.setattr(torch, "_sample_dirichlet", lambda concentration: ours.detach().double())
    theirs = rows.detach().double().requires_grad_()
    sample = torch.distributions.Dirichlet(functional.elu(theirs) + 1).rsample()
    (due,) = torch.autograd.grad((outside * sample).sum(), theirs)
    torch.testing.assert_close(gradient, due.to(dtype))


def test_where_operations_are_gone_the_gradients_are_those_of_the_law_that_is_left(monkeypatch):
    rows = random_parameters()[""].requires_grad_()
    kept = NARROWED[""][4].nonzero()[0].tolist()
    ours = drawn(Dirichlet(), {"": rows}, alive=NARROWED).theta[""][4, kept]
    (gradient,) = torch.autograd.grad(ours[0], rows)

    monkeypatch.setattr(torch, "_sample_dirichlet", lambda concentration: ours.detach())
    theirs = rows.detach()[4, kept].requires_grad_()
    (due,) = torch.autograd.grad(torch.distributions.Dirichlet(concentration(theirs)).rsample()[0], theirs)
    torch.testing.assert_close(gradient[4, kept], due)


@pytest.mark.parametrize("row", [[-3.0, -1.0, 0.0], [0.0, 0.0, 0.0], [0.5, 4.0, -0.2]], ids=str)
def test_each_weight_has_the_beta_law_that_it_has_in_a_dirichlet_law(row):
    row = torch.tensor(row, dtype=torch.float64)
    samples, b = many(Dirichlet(), row, 10_000), concentration(row)
    for column in range(3):
        law = beta(b[column].item(), (b.sum() - b[column]).item())
        assert kstest(samples[:, column].numpy(), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("centre", [0.0, -2.0, 1.5])
def test_a_draw_moves_smoothly_with_the_logits(centre):
    """Also across 0, where PyTorch's sampler goes another way. A2M differences two draws of one seed."""
    nudge = random_parameters(seed=1)[""]
    for seed in range(20):
        up, down = (
            drawn(Dirichlet(), {"": centre + step * nudge}, seed=seed).theta[""] for step in (1e-6, -1e-6)
        )
        assert (up - down).abs().max() < 1e-4


def test_the_mean_of_the_samples_is_the_concentrations_share():
    """0.004 is four standard errors of the mean of 20,000 draws."""
    row = torch.tensor([-1.0, 0.0, 1.0, 2.5])
    samples = many(Dirichlet(), row, 20_000)
    b = concentration(row)
    torch.testing.assert_close(samples.mean(0), b / b.sum(), atol=0.004, rtol=0)
    share = b / b.sum()
    variance = share * (1 - share) / (b.sum() + 1)
    torch.testing.assert_close(samples.var(0), variance, atol=0.002, rtol=0)


def test_gradients_average_to_those_of_the_mean():
    """The mean weight is b_k / sum(b), whose derivative is known; draws give it on average."""
    row = torch.tensor([-0.5, 0.3, 1.0], dtype=torch.float64, requires_grad=True)
    outside = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    average = (outside * many(Dirichlet(), row, 20_000).mean(0)).sum()
    b = concentration(row)
    exact = (outside * b / b.sum()).sum()
    found, due = (torch.autograd.grad(one, row)[0] for one in (average, exact))
    torch.testing.assert_close(found, due, atol=0.01, rtol=0)


def test_what_is_left_of_an_edge_has_the_dirichlet_law_of_what_is_left():
    row = torch.tensor([-1.0, 0.5, 2.0, 3.0])
    samples = many(Dirichlet(), row, 10_000, alive=[True, False, True, False])[:, 0].double().numpy()
    a, b = concentration(row)[[0, 2]].tolist()
    assert kstest(samples, beta(a, b).cdf).pvalue > 1e-3


def test_great_concentrations_make_the_mixing_deterministic():
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    spreads = [many(Dirichlet(), c * shares, 200).std(0).max() for c in (1e2, 1e4, 1e8)]
    assert spreads[0] > spreads[1] > spreads[2]
    last = many(Dirichlet(), 1e10 * shares, 1)[0]
    torch.testing.assert_close(last, shares, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("alive", [CELL.all_alive(), NARROWED], ids=["all", "narrowed"])
def test_vanishing_concentrations_still_give_finite_weights_and_gradients(dtype, alive):
    """Logits of -20 are concentrations of 2e-9: all draws of an edge underflow together."""
    for logit in (-5.0, -20.0, -30.0):
        rows = torch.full((6, 5), logit, dtype=dtype, requires_grad=True)
        for seed in range(20):
            theta = drawn(Dirichlet(), {"": rows}, alive=alive, seed=seed).theta[""]
            (gradient,) = torch.autograd.grad((theta * torch.arange(5.0)).sum(), rows)
            assert torch.isfinite(gradient).all()
            torch.testing.assert_close(theta.sum(-1), torch.tensor(alive[""].any(1)).to(dtype))


def test_evaluation_at_the_mean_draws_nothing():
    relaxation, logits, generator = Dirichlet(evaluate="mean"), random_parameters(), seeded()
    before = generator.get_state()
    theta = relaxation.evaluated(logits, NARROWED, START, generator).theta[""]
    assert torch.equal(generator.get_state(), before)
    b = concentration(logits[""])[4, [1, 3]]
    torch.testing.assert_close(theta[4, [1, 3]], b / b.sum())


def test_evaluation_by_samples_is_a_draw_like_any_other():
    logits, relaxation = random_parameters(), Dirichlet()
    found = relaxation.evaluated(logits, NARROWED, START, seeded()).theta
    assert same(found, drawn(relaxation, logits, alive=NARROWED).theta)


def test_a_second_derivative_of_a_sample_is_refused_rather_than_wrong():
    rows = random_parameters()[""].requires_grad_()
    theta = drawn(Dirichlet(), {"": rows}).theta[""]
    (gradient,) = torch.autograd.grad(theta.square().sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


# Gumbel


def noise(seed):
    """The Gumbel numbers of a cell in NAS-Bench-201."""
    return -torch.empty((6, 5), dtype=torch.float64).exponential_(generator=seeded(seed)).log()


@pytest.mark.parametrize("dtype", FLOATS)
def test_drawn_weights_are_one_hot_to_the_last_bit_and_only_the_drawn_operation_is_alive(dtype):
    logits = random_parameters(dtype=dtype)
    for seed in range(50):
        relaxed = drawn(Gumbel(), logits, alive=NARROWED, seed=seed)
        theta = relaxed.theta[""]
        assert torch.equal(theta, torch.tensor(relaxed.alive[""]).to(dtype))
        assert not (relaxed.alive[""] & ~NARROWED[""]).any()
        assert relaxed.alive[""].sum(1).tolist() == [1, 1, 0, 1, 1, 1]
        assert relaxed.dead_as_numbers


def test_the_gradient_is_that_of_the_softmax_at_the_temperature():
    """GDAS: one-hot - soft.detach() + soft, with soft = softmax((log_softmax(alpha) + noise) / tau)."""
    rows = random_parameters()[""].requires_grad_()
    outside = torch.randn((6, 5), generator=seeded(9), dtype=torch.float64)
    for tau in (10.0, 0.5):
        theta = drawn(Gumbel(tau=tau), {"": rows}, seed=4).theta[""]
        (found,) = torch.autograd.grad((outside * theta).sum(), rows)
        soft = torch.softmax((torch.log_softmax(rows, -1) + noise(4)) / tau, -1)
        (due,) = torch.autograd.grad((outside * soft).sum(), rows)
        torch.testing.assert_close(found, due)
        assert torch.equal(theta.argmax(-1), soft.argmax(-1))


@pytest.mark.parametrize("tau", [10.0, 0.1])
def test_operations_are_drawn_as_often_as_their_softmax_says_at_every_temperature(tau):
    """0.015 is three standard errors of 10,000 draws at most."""
    row = torch.tensor([0.0, 1.0, -1.0])
    often = many(Gumbel(tau=tau), row, 10_000).mean(0)
    torch.testing.assert_close(often, torch.softmax(row, -1), atol=0.015, rtol=0)


@pytest.mark.parametrize(("epoch", "tau"), [(0, 10.0), (125, 10 - 9.9 * 125 / 249), (249, 0.1)])
def test_the_temperature_falls_from_10_to_a_tenth_in_the_last_epoch(epoch, tau):
    logits = random_parameters()
    found = {kind: rows.requires_grad_() for kind, rows in logits.items()}
    gradients = []
    for relaxation in (Gumbel(), Gumbel(tau=tau)):
        theta = drawn(relaxation, found, progress=Progress(epoch, 250)).theta[""]
        gradients.append(torch.autograd.grad(theta[:, 0].sum(), found[""])[0])
    torch.testing.assert_close(*gradients)


def test_noise_that_is_not_finite_is_drawn_again(monkeypatch):
    logits = random_parameters()
    exponential, calls = torch.Tensor.exponential_, []

    def first_zero(self, *args, **kwargs):
        calls.append(1)
        numbers = exponential(self, *args, **kwargs)
        return numbers.zero_() if len(calls) == 1 else numbers

    generator = seeded()
    torch.empty((6, 5), dtype=torch.float64).exponential_(generator=generator)
    due = Gumbel().theta(logits, CELL.all_alive(), START, generator).theta
    monkeypatch.setattr(torch.Tensor, "exponential_", first_zero)
    assert same(drawn(Gumbel(), logits).theta, due)
    assert len(calls) == 2


def test_a_search_that_diverged_ends_the_draw_too():
    rows = torch.full((6, 5), torch.nan)
    assert drawn(Gumbel(), {"": rows}).theta[""].isnan().all()


def test_evaluation_is_by_the_likeliest_operations_or_the_softmax_or_a_draw():
    logits = random_parameters()
    soft = masked_softmax(logits[""], NARROWED[""])
    by = {
        name: Gumbel(evaluate=name).evaluated(logits, NARROWED, START, seeded())
        for name in ("argmax", "softmax", "sample")
    }
    assert torch.equal(by["softmax"].theta[""], soft)
    assert by["softmax"].alive is None
    rows = [0, 1, 3, 4, 5]
    assert by["argmax"].theta[""][rows].argmax(1).tolist() == soft[rows].argmax(1).tolist()
    assert by["argmax"].alive[""].sum(1).tolist() == [1, 1, 0, 1, 1, 1]
    assert not by["argmax"].dead_as_numbers
    assert same(by["sample"].theta, drawn(Gumbel(), logits, alive=NARROWED).theta)


def test_an_edge_computes_the_drawn_operation_alone_and_every_logit_gets_a_gradient():
    """GDAS: the others add numbers, zeros whose derivatives are those of the soft weights."""
    layout = Layout(get_space("nas_bench_201"))
    edge = MixedEdge(EdgeShape(layout.names("", 0), channels=4)).double()
    x = torch.randn((2, 4, 5, 5), generator=seeded(1), dtype=torch.float64)
    for seed in range(10):
        rows = random_parameters()[""].requires_grad_()
        relaxed = drawn(Gumbel(), {"": rows}, seed=seed)
        alive = relaxed.alive[""][0].tolist()
        out = edge(x, EdgeMixing(relaxed.theta[""][0].unbind(), alive, dead_as_numbers=True))
        column = alive.index(True)
        torch.testing.assert_close(out, edge.candidates[column](x))
        outside = torch.randn(out.shape, generator=seeded(2), dtype=torch.float64)
        (found,) = torch.autograd.grad((out * outside).sum(), rows)
        soft = torch.softmax((rows + noise(seed)) / 10, -1)
        weights = outside.sum().expand(5).clone()
        weights[column] = (outside * edge.candidates[column](x)).sum() if column else 0.0
        (due,) = torch.autograd.grad((soft[0] * weights.detach()).sum(), rows)
        torch.testing.assert_close(found, due)


# From a file


def test_they_are_built_from_a_file_and_bad_values_are_refused_in_words():
    builder = Builder()
    assert builder.build(Gumbel, {"tau": {"linear": [5, 0.5]}}) == Gumbel(Linear((5.0, 0.5)))
    assert builder.build(Dirichlet, {"evaluate": "mean"}) == Dirichlet("mean")
    assert not builder.problems
    assert builder.build(Gumbel, {"tau": {"linear": [5, 0]}}) is None
    assert builder.build(Dirichlet, {"evaluate": "mode"}) is None
    (tau, evaluate) = builder.problems
    assert tau == (("tau",), "0.0 is not positive and finite; give 10, or {ramp: [10, 0.1]}")
    assert evaluate[0] == ("evaluate",)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_not_positive_and_finite_is_refused(tau):
    with pytest.raises(ValueError, match=r"tau: .* is not positive and finite; give 10"):
        Gumbel(tau=tau)
