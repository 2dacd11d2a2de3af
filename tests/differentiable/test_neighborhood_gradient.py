"""The gradient over a neighborhood (NA-DARTS): known values, what a neighbor may be, the aggregates."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objectives import CELL, mixing_objective_of, objective_of, only, random_parameters, same
from scipy.stats import chisquare, ks_2samp

from raynas.config.building import Builder
from raynas.differentiable.arch_gradient.neighborhood import Neighborhood
from raynas.differentiable.parameters import edges_of
from raynas.differentiable.relaxation.dirichlet import Dirichlet
from raynas.differentiable.schedule import Linear
from raynas.flatness.aggregator.max import Max
from raynas.flatness.aggregator.mean import Mean
from raynas.flatness.aggregator.median import Median
from raynas.flatness.aggregator.variance import Variance
from raynas.lookup import available, build
from raynas.spaces import get_space
from raynas.supernets.layout import Layout

torch.set_num_threads(1)

FLOATS = [torch.float32, torch.float64]
AGGREGATORS = [build("raynas.flatness.aggregator", name) for name in available("raynas.flatness.aggregator")]
REPRESENTATIONS = ["additive", "multiplicative"]
DARTS = Layout(get_space("darts"))
LAYOUTS = {name: Layout(get_space(name)) for name in ("nas_bench_201", "darts", "darts_s1", "darts_s5")}
NONE, SKIP = (CELL.space.operations.index(name) for name in ("none", "skip_connect"))

every_aggregator = pytest.mark.parametrize("aggregator", AGGREGATORS, ids=lambda one: type(one).__name__)
every_representation = pytest.mark.parametrize("representation", REPRESENTATIONS)

COSTS = {
    kind: torch.randn(14, 8, generator=torch.Generator().manual_seed(at), dtype=torch.float64)
    for at, kind in enumerate(("", "normal", "reduce"))
}


def cost(theta):
    """A loss of mixing weights that is not linear in them."""
    total = 0.0
    for kind, rows in theta.items():
        mixed = (rows * COSTS[kind][: len(rows), : rows.shape[-1]].to(rows)).sum(-1)
        total = total + mixed.sum() + (mixed[1:] * mixed[:-1]).sum()
    return total


def evaluated(component, alpha, **options):
    """The gradient, and all mixing weights that were evaluated with a graph or without."""
    seen = []

    def loss(theta):
        seen.append({kind: rows.detach().clone() for kind, rows in theta.items()})
        return cost(theta)

    return component.gradient(alpha, mixing_objective_of(loss, **options)), seen


def neighbors(component, *, layout=CELL, alive=None, seed=0, dtype=torch.float64, scale=1.0):
    """Mixing weights of the reference, and of the others; the component averages."""
    alpha = random_parameters(layout, dtype=dtype, scale=scale)
    _, seen = evaluated(component, alpha, layout=layout, alive=alive, seed=seed)
    return seen[0], seen[1:]


def moves_of(component, alpha, objective):
    """From the reference's mixing weights to each member's; None to its own."""
    seen = []

    def loss(alpha, move=None):
        seen.append(move)
        return objective.loss(alpha, move)

    component.gradient(alpha, replace(objective, loss=loss))
    return seen[: component.n_nbr]


def changed(reference, neighbor):
    """Rows that differ, by kind."""
    return {
        kind: np.flatnonzero((reference[kind] != neighbor[kind]).any(-1).numpy()).tolist()
        for kind in reference
    }


# Known values


@pytest.mark.parametrize("dtype", FLOATS)
def test_noise_on_three_operations_gives_the_known_weights_and_gradient(dtype, monkeypatch):
    """Logits 0, q = (.1, -.1, .05): p' = (p + q) / 1.05, and the gradient goes through both."""
    draws = torch.tensor([1.0, 0.0, 0.75, 0.5, 0.5], dtype=torch.float64)  # of [-0.1, 0.1]
    monkeypatch.setattr(torch, "rand", lambda shape, **options: draws.expand(shape))
    costs, seen = torch.tensor([1.0, 2.0, 4.0, 0.0, 0.0], dtype=dtype), []

    def loss(theta):
        seen.append(theta[""][0].detach())
        return theta[""][0] @ costs

    alive = only(CELL, {("", 0): (0, 1, 2)} | {("", row): (0,) for row in range(1, 6)})
    alpha, objective = {"": torch.zeros(6, 5, dtype=dtype)}, mixing_objective_of(loss, alive=alive)
    found = Neighborhood(d=1, n_nbr=2, epsilon_q=0.1).gradient(alpha, objective)[""][0]
    of_neighbor = 2 * found - objective.gradient(alpha)[""][0]  # of the mean of two members

    due = torch.tensor([0.412698, 0.222222, 0.365079, 0.0, 0.0], dtype=dtype)
    torch.testing.assert_close(seen[1], due, atol=1e-6, rtol=0)
    due = torch.tensor([-0.423280, -0.105820, 0.529101, 0.0, 0.0], dtype=dtype)
    torch.testing.assert_close(of_neighbor, due, atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_the_mean_loss_with_the_noise_held_constant(seed):
    """Finite differences; q's bounds hang on p, which the gradient takes for a constant."""
    component = Neighborhood(d=2, n_nbr=4, epsilon_q=1e-3)  # so that every bound is epsilon_q
    alpha, objective = random_parameters(), mixing_objective_of(cost, seed=seed)
    moves = moves_of(component, alpha, objective)
    found, step = component.gradient(alpha, objective)[""], 1e-6

    def mean_loss(rows):
        return np.mean([objective.value({"": rows}, move).item() for move in moves])

    for row, column in [(0, 0), (2, 3), (4, 1), (5, 4)]:
        nudge = torch.zeros_like(alpha[""])
        nudge[row, column] = step
        slope = (mean_loss(alpha[""] + nudge) - mean_loss(alpha[""] - nudge)) / (2 * step)
        assert found[row, column].item() == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_the_bounds_of_the_noise_are_constants_to_the_gradient(monkeypatch):
    """Also where a weight, below epsilon_q, is its own bound."""
    draws = torch.tensor([0.1, 0.6, 0.3, 0.9, 0.2], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda shape, **options: draws.expand(shape))
    alive = only(CELL, {("", row): (0,) for row in range(1, 6)})
    alpha, objective = random_parameters(scale=2.0), mixing_objective_of(cost, alive=alive)
    _, move = moves_of(Neighborhood(d=1, n_nbr=2, epsilon_q=0.3), alpha, objective)
    found = objective.gradient(alpha, move)[""][0]

    p = torch.softmax(alpha[""][0], -1)
    assert (p < 0.3).any()
    q = -p.clamp(max=0.3) + draws * (0.3 + p.clamp(max=0.3))

    def moved(theta):
        first = (theta[""][:1] + q) / (theta[""][:1] + q).sum()
        return {"": torch.cat([first, theta[""][1:]])}

    torch.testing.assert_close(found, objective.gradient(alpha, moved)[""][0])


# What a neighbor is


@every_representation
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("name", "d"), [("nas_bench_201", 2), ("darts", 6), ("darts_s1", 6), ("darts_s5", 14)]
)
def test_every_neighbor_has_weights_that_sum_to_one_and_lies_within_d_of_the_reference(
    name, d, dtype, representation
):
    layout = LAYOUTS[name]
    component = Neighborhood(d=d, n_nbr=6, epsilon_q=0.3, representation=representation)
    for seed in range(5):
        reference, others = neighbors(component, layout=layout, seed=seed, dtype=dtype, scale=3.0)
        assert len(others) == 5
        for other in others:
            for kind, rows in other.items():
                assert rows.dtype == dtype
                assert (rows >= 0).all()
                torch.testing.assert_close(rows.sum(-1), torch.ones(len(rows), dtype=dtype))
                assert (rows[~torch.tensor(layout.all_alive()[kind])] == 0).all()
                distance = (rows - reference[kind]).abs().sum() / 2  # total variation, over edges
                assert distance <= d + 1e-6
                assert len(changed(reference, other)[kind]) <= d


@settings(deadline=None)  # cores may be busy
@given(epsilon_q=st.floats(1e-3, 3.0), d=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_neighbors_of_a_discrete_architecture_are_mixing_weights_too(epsilon_q, d, seed):
    """Weights of 0 can only rise, and one of 1 falls at most by epsilon_q."""
    component = Neighborhood(d=d, n_nbr=3, epsilon_q=epsilon_q)
    alpha = {"": torch.zeros(6, 5, dtype=torch.float64)}
    alpha[""][:, seed % 5] = 1e4  # whose softmax is one-hot
    _, seen = evaluated(component, alpha, seed=seed)
    for theta in seen:
        assert (theta[""] >= 0).all()
        torch.testing.assert_close(theta[""].sum(-1), torch.ones(6, dtype=torch.float64))


def test_each_kind_of_cell_changes_d_edges():
    reference, others = neighbors(Neighborhood(d=6, n_nbr=10), layout=DARTS)
    assert len(others) == 9
    for other in others:
        assert {kind: len(rows) for kind, rows in changed(reference, other).items()} == {
            "normal": 6,
            "reduce": 6,
        }
    assert len({str(changed(reference, other)) for other in others}) == 9


def test_edges_are_chosen_equally_often():
    reference, others = neighbors(Neighborhood(d=2, n_nbr=601))
    pairs = np.array([changed(reference, other)[""] for other in others])
    assert chisquare(np.bincount(pairs.ravel(), minlength=6)).pvalue > 1e-3
    assert chisquare(np.unique(pairs, axis=0, return_counts=True)[1]).pvalue > 1e-3
    assert len(np.unique(pairs, axis=0)) == 15


def test_noise_is_uniform_between_what_leaves_weights_positive_and_epsilon():
    """Against noise drawn here, on edges with weights below epsilon_q and above."""
    epsilon_q = 0.1
    reference, others = neighbors(Neighborhood(d=6, n_nbr=501, epsilon_q=epsilon_q), scale=2.0)
    found = torch.stack([other[""] for other in others]).numpy()
    p = reference[""].numpy()
    assert (p < epsilon_q).any()
    assert (p > epsilon_q).any()
    q = np.random.default_rng(0).uniform(-np.minimum(p, epsilon_q), epsilon_q, (20_000, 6, 5))
    due = (p + q) / (p + q).sum(-1, keepdims=True)
    pvalues = [ks_2samp(found[:, *at], due[:, *at]).pvalue for at in np.ndindex(6, 5)]
    assert min(pvalues) > 1e-3 / 30


def test_decided_and_dead_edges_stay_as_they_are():
    alive = only(CELL, {("", 0): (3,), ("", 2): (), ("", 4): (1, 3)})
    for representation in REPRESENTATIONS:
        component = Neighborhood(d=6, n_nbr=8, representation=representation)
        reference, others = neighbors(component, alive=alive)
        for other in others:
            assert changed(reference, other)[""] == [1, 3, 4, 5]
            assert (other[""][~torch.tensor(alive[""])] == 0).all()


def test_where_all_is_decided_the_gradient_is_the_plain_one():
    alive = only(CELL, {("", row): (row % 5,) for row in range(6)})
    alpha, objective = random_parameters(), mixing_objective_of(cost, alive=alive)
    assert same(Neighborhood(d=2).gradient(alpha, objective), objective.gradient(alpha))


# The multiplicative representation


def test_a_forced_edge_is_one_hot_on_none_or_skip_equally_often_and_has_no_gradient():
    component = Neighborhood(d=2, n_nbr=201, representation="multiplicative")
    alpha, objective = random_parameters(), mixing_objective_of(cost)
    reference, others = neighbors(component)
    forced = []
    for move, other in zip(moves_of(component, alpha, objective)[1:], others, strict=True):
        rows = changed(reference, other)[""]
        assert len(rows) == 2
        assert (other[""][rows].max(-1).values == 1).all()
        forced += other[""][rows].argmax(-1).tolist()
        assert (objective.gradient(alpha, move)[""][rows] == 0).all()
    assert set(forced) == {NONE, SKIP}
    assert chisquare(np.bincount(forced, minlength=2)).pvalue > 1e-3


def test_where_none_is_gone_an_edge_is_forced_to_skip_and_without_either_it_stays():
    alive = only(CELL, {("", 1): (1, 2, 3), ("", 2): (2, 3, 4)})
    component = Neighborhood(d=6, n_nbr=20, representation="multiplicative")
    reference, others = neighbors(component, alive=alive)
    for other in others:
        assert changed(reference, other)[""] == [0, 1, 3, 4, 5]
        assert other[""][1].argmax() == SKIP


def test_in_a_space_without_none_every_edge_is_forced_to_skip():
    layout = LAYOUTS["darts_s5"]
    component = Neighborhood(d=6, n_nbr=5, representation="multiplicative")
    reference, others = neighbors(component, layout=layout)
    skip = layout.space.operations.index("skip_connect")
    for other in others:
        for kind, rows in changed(reference, other).items():
            assert other[kind][rows].argmax(-1).tolist() == [skip] * 6


# Aggregates


def members(component, alpha, objective):
    """Losses and gradients of the reference and its neighbors."""
    moves = moves_of(component, alpha, objective)
    losses = np.array([objective.value(alpha, move).item() for move in moves])
    return losses, torch.stack([objective.gradient(alpha, move)[""] for move in moves])


@every_representation
def test_the_mean_has_the_mean_gradient(representation):
    component = Neighborhood(d=2, n_nbr=5, representation=representation)
    alpha, objective = random_parameters(), mixing_objective_of(cost)
    _, gradients = members(component, alpha, objective)
    torch.testing.assert_close(component.gradient(alpha, objective)[""], gradients.mean(0))


@every_representation
def test_the_maximum_has_its_worst_members_gradient_and_takes_one_alone(representation):
    component = Neighborhood(d=3, n_nbr=6, representation=representation, aggregator=Max())
    for seed in range(5):
        with_graph = []

        def loss(theta, seen=with_graph):
            seen.append(theta[""].requires_grad)
            return cost(theta)

        alpha, objective = random_parameters(), mixing_objective_of(loss, seed=seed)
        losses, gradients = members(component, alpha, objective)
        with_graph.clear()
        found = component.gradient(alpha, objective)[""]
        assert torch.equal(found, gradients[losses.argmax()])
        assert with_graph == [False] * 6 + [True]


@pytest.mark.parametrize("n_nbr", [4, 5])
def test_the_median_has_the_gradient_of_the_one_or_two_in_the_middle(n_nbr):
    component = Neighborhood(d=3, n_nbr=n_nbr, aggregator=Median())
    alpha, objective = random_parameters(), mixing_objective_of(cost)
    losses, gradients = members(component, alpha, objective)
    order = losses.argsort()
    middle = order[[(n_nbr - 1) // 2, n_nbr // 2]].tolist()
    torch.testing.assert_close(component.gradient(alpha, objective)[""], gradients[middle].mean(0))


@pytest.mark.parametrize("lam", [0.3, 1.0, 10.0])
def test_the_variance_has_the_gradient_that_autograd_finds_with_all_graphs_at_once(lam):
    component = Neighborhood(d=3, n_nbr=7, epsilon_q=0.3, aggregator=Variance(lam))
    alpha, objective = random_parameters(), mixing_objective_of(cost)
    leaf = alpha[""].clone().requires_grad_()
    moves = moves_of(component, alpha, objective)
    losses = torch.stack([objective.loss({"": leaf}, move) for move in moves])
    (due,) = torch.autograd.grad(losses[0] + lam * losses.std(correction=0), leaf)
    torch.testing.assert_close(component.gradient(alpha, objective)[""], due, rtol=1e-12, atol=1e-13)


@every_aggregator
def test_the_gradient_is_the_derivative_of_what_the_aggregator_gives(aggregator):
    """So a search by neighborhoods and a search by their gradients mean the same by each name."""
    component = Neighborhood(d=2, n_nbr=4, epsilon_q=1e-3, aggregator=aggregator)
    alpha, objective = random_parameters(), mixing_objective_of(cost)
    moves = moves_of(component, alpha, objective)
    found, step = component.gradient(alpha, objective)[""], 1e-7

    def aggregate(rows):
        return aggregator(np.array([objective.value({"": rows}, move).item() for move in moves]))

    for row, column in [(0, 0), (2, 3), (5, 4)]:
        nudge = torch.zeros_like(alpha[""])
        nudge[row, column] = step
        slope = (aggregate(alpha[""] + nudge) - aggregate(alpha[""] - nudge)) / (2 * step)
        assert found[row, column].item() == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_equal_losses_have_no_spread_and_no_gradient_of_it():
    alpha = random_parameters()
    objective = mixing_objective_of(lambda theta: theta[""].sum())
    component = Neighborhood(d=2, n_nbr=3, aggregator=Variance(), representation="multiplicative")
    assert torch.isfinite(component.gradient(alpha, objective)[""]).all()


# Laws


@every_aggregator
@every_representation
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("neutral", [{"d": 0}, {"n_nbr": 1}, Neighborhood.neutral], ids=str)
def test_without_neighbors_it_is_the_plain_gradient_to_the_last_bit(
    neutral, dtype, representation, aggregator
):
    options = {"d": 2, "representation": representation, "aggregator": aggregator} | dict(neutral)
    alpha, objective = random_parameters(dtype=dtype), mixing_objective_of(cost)
    assert same(Neighborhood(**options).gradient(alpha, objective), objective.gradient(alpha))


@pytest.mark.parametrize(
    "options",
    [{"epsilon_q": 0.0}, {"epsilon_q": Linear((0.0, 0.1))}, {"aggregator": Variance(0.0)}],
    ids=str,
)
def test_without_noise_or_weight_it_is_the_plain_gradient_to_the_last_bit(options):
    alpha, objective = random_parameters(), mixing_objective_of(cost)
    assert same(Neighborhood(d=2, **options).gradient(alpha, objective), objective.gradient(alpha))


@every_aggregator
@every_representation
def test_it_gives_the_same_twice_and_leaves_the_parameters_alone(representation, aggregator):
    component = Neighborhood(d=2, n_nbr=4, representation=representation, aggregator=aggregator)
    alpha, objective = random_parameters(), mixing_objective_of(cost, relaxation=Dirichlet())
    before = {kind: rows.clone() for kind, rows in alpha.items()}
    torch.manual_seed(0)
    a = component.gradient(alpha, objective)
    torch.manual_seed(1)
    assert same(a, component.gradient(alpha, objective))
    assert same(alpha, before)
    assert not any(rows.requires_grad or rows.grad is not None for rows in alpha.values())
    assert not a[""].requires_grad


def test_another_step_has_other_neighbors():
    alpha = random_parameters()
    a, b = (Neighborhood(d=2).gradient(alpha, mixing_objective_of(cost, seed=seed)) for seed in (0, 1))
    assert not same(a, b)


def test_parameters_of_edges_are_not_perturbed_and_get_their_gradient():
    """NA-PC-DARTS: the mean over the members of a loss that they scale."""
    alpha = random_parameters() | {edges_of(""): torch.tensor([0.3, -0.2], dtype=torch.float64)}
    component = Neighborhood(d=2, n_nbr=4)

    def loss(parameters, move=None):
        theta = torch.softmax(parameters[""], -1)
        theta = theta if move is None else move({"": theta})[""]
        return cost({"": theta}) * parameters[edges_of("")].prod()

    objective = replace(objective_of(None), loss=loss)
    found = component.gradient(alpha, objective)
    losses = [objective.value(alpha, move) for move in moves_of(component, alpha, objective)]
    due = torch.stack(losses).mean() / alpha[edges_of("")]
    torch.testing.assert_close(found[edges_of("")], due)


# From a file


def test_it_is_built_from_a_file_with_the_aggregators_of_the_sampled_search():
    builder = Builder()
    built = builder.build(Neighborhood, {"d": 2, "aggregator": {"name": "variance", "lam": 2}})
    assert built == Neighborhood(d=2, aggregator=Variance(2.0))
    assert builder.build(Neighborhood, {}) == Neighborhood(6, 10, 0.1, "additive", Mean())
    assert not builder.problems


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ({"d": -1}, "d", "-1 is below 0; give 1 or more, or 0 for the reference alone"),
        ({"n_nbr": 0}, "n_nbr", "0 is below 1; give 1 or more"),
        ({"epsilon_q": -0.1}, "epsilon_q", "-0.1 is negative or not finite; give 0 or more"),
        ({"representation": "other"}, "representation", "'other': input should be 'additive' or"),
        (
            {"aggregator": "objectives:Worst"},
            "aggregator",
            "the derivative of Worst is not known; use mean, max, median or variance",
        ),
    ],
)
def test_bad_values_are_refused_in_words(data, field, message):
    builder = Builder()
    assert builder.build(Neighborhood, data) is None
    ((path, found),) = builder.problems
    assert path == (field,)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("space", "options", "problem"),
    [
        ("nas_bench_201", {"d": 7}, ("d", "7 exceeds the 6 edges of a cell of nas_bench_201; use d <= 6")),
        ("darts", {"d": 15}, ("d", "15 exceeds the 14 edges of a cell of darts; use d <= 14")),
        (
            "darts_s4",
            {"representation": "multiplicative"},
            (
                "representation",
                "multiplicative forces edges to none or skip_connect, and darts_s4 has neither",
            ),
        ),
    ],
)
def test_what_cannot_work_in_a_space_is_told_in_words(space, options, problem):
    ((field, message),) = Neighborhood(**options).problems(get_space(space))
    assert field == problem[0]
    assert re.match(re.escape(problem[1]), message)


@pytest.mark.parametrize("space", ["nas_bench_201", "darts", "darts_s1", "darts_s5"])
@every_representation
def test_its_defaults_work_in_every_space_with_none_or_skip(space, representation):
    assert not list(Neighborhood(representation=representation).problems(get_space(space)))


@every_aggregator
def test_it_is_a_value(aggregator):
    component = Neighborhood(d=2, aggregator=aggregator)
    assert pickle.loads(pickle.dumps(component)) == component
    assert hash(pickle.loads(pickle.dumps(component))) == hash(component)
