"""A2M: closed forms on small losses, the two centres, what it does around other gradients."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace

import pytest
import torch
from objectives import CELL, mixing_objective_of, objective_of, only, random_parameters, same

from raynas.config.building import Builder
from raynas.differentiable.arch_gradient.a2m import A2M
from raynas.differentiable.arch_gradient.first_order import FirstOrder
from raynas.differentiable.arch_gradient.frozen import Frozen
from raynas.differentiable.arch_gradient.neighborhood import Neighborhood
from raynas.differentiable.arch_gradient.unrolled import Unrolled
from raynas.differentiable.parameters import edges_of
from raynas.differentiable.relaxation.dirichlet import Dirichlet
from raynas.differentiable.schedule import Linear, Progress
from raynas.flatness.aggregator.max import Max
from raynas.spaces import get_space

torch.set_num_threads(1)

CENTERS = ["tilde", "alpha"]


def at(*numbers, dtype=torch.float64):
    return {"": torch.tensor(numbers, dtype=dtype)}


def gradient(component, function, alpha, **options):
    return component.gradient(alpha, objective_of(lambda tree: function(tree[""]), **options))[""]


def quadratic(n, seed=0):
    """A positive quadratic ``x H x / 2 + b x``."""
    generator = torch.Generator().manual_seed(seed)
    half, b = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((n, n), (n,)))
    return half @ half.T, b


# Closed forms


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 1.0])
def test_on_a_parabola_it_is_the_closed_form(center, epsilon):
    """h = 2, b = 1, alpha = 3, rho = 0.1: (1 + rho h)^2 (h alpha + b) = 10.08."""
    found = gradient(A2M(0.1, epsilon, center), lambda a: (a**2 + a).sum(), at(3.0))
    torch.testing.assert_close(found, torch.tensor([10.08], dtype=torch.float64))


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize(("rho", "epsilon"), [(0.01, 0.01), (0.1, 1e-3), (1.0, 0.1)])
def test_on_a_quadratic_it_is_the_closed_form_whatever_the_centre_and_the_width(center, rho, epsilon):
    h, b = quadratic(4)
    alpha = at(0.3, -1.0, 2.0, 0.1)
    found = gradient(A2M(rho, epsilon, center), lambda a: a @ h @ a / 2 + b @ a, alpha)
    factor = torch.eye(4, dtype=torch.float64) + rho * h
    torch.testing.assert_close(found, factor @ factor @ (h @ alpha[""] + b))


@pytest.mark.parametrize(("center", "due"), [("alpha", 8.112), ("tilde", 9.0246)])
def test_a_cubic_tells_the_two_centres_apart(center, due):
    """alpha = 1, rho = 0.1: the moved point is 1.3, its gradient 5.07; the Hessian is 6 or 7.8."""
    found = gradient(A2M(0.1, 0.01, center), lambda a: (a**3).sum(), at(1.0))
    assert found.item() == pytest.approx(due, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rho", "due"), [(0.0, (-0.5, 0.5)), (0.5, (-0.4159, 0.4159))])
def test_on_the_softmax_of_two_operations_it_is_the_known_value(rho, due, dtype):
    costs = torch.tensor([1.0, 3.0], dtype=dtype)
    found = gradient(
        A2M(rho, 0.01, "tilde"), lambda a: torch.softmax(a, -1) @ costs, at(0.0, 0.0, dtype=dtype)
    )
    assert found.dtype == dtype
    torch.testing.assert_close(found, torch.tensor(due, dtype=dtype), atol=5e-5, rtol=0)


def smooth(a):
    return (torch.sin(a) * a.flip(0)).sum() + torch.logsumexp(a, 0) ** 2


def test_centred_at_alpha_it_is_the_exact_derivative_of_the_loss_after_an_ascent():
    """By autograd through the ascent step."""
    rho, alpha = 0.2, torch.tensor([0.4, -0.3, 1.1], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(smooth(alpha), alpha, create_graph=True)
    (due,) = torch.autograd.grad(smooth(alpha + rho * slope), alpha)
    found = gradient(A2M(rho, 1e-4, "alpha"), smooth, {"": alpha.detach()})
    torch.testing.assert_close(found, due, atol=1e-7, rtol=1e-7)


def test_centred_at_the_moved_point_it_has_the_hessian_of_that_point():
    rho, alpha = 0.2, torch.tensor([0.4, -0.3, 1.1], dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(smooth, alpha)
    moved = alpha + rho * slope
    ascended = torch.autograd.functional.jacobian(smooth, moved)
    hessian = torch.autograd.functional.hessian(smooth, moved)
    found = gradient(A2M(rho, 1e-4, "tilde"), smooth, {"": alpha})
    torch.testing.assert_close(found, ascended + rho * hessian @ ascended, atol=1e-7, rtol=1e-7)


def test_all_parameters_are_one_vector():
    """Those of operations and of edges (PC-DARTS) ascend and turn together."""
    h, b = quadratic(5)
    tensors = at(1.0, 2.0, 3.0) | {edges_of(""): torch.tensor([-1.0, 0.5], dtype=torch.float64)}

    def loss(alpha):
        whole = torch.cat(list(alpha.values()))
        return whole @ h @ whole / 2 + b @ whole

    found = A2M(0.1).gradient(tensors, objective_of(loss))
    factor = torch.eye(5, dtype=torch.float64) + 0.1 * h
    torch.testing.assert_close(
        torch.cat(list(found.values())), factor @ factor @ (h @ torch.cat(list(tensors.values())) + b)
    )


# Laws

COSTS = torch.randn((6, 5), generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def cost(theta):
    """A loss of mixing weights that is not linear in them."""
    mixed = (theta[""] * COSTS.to(theta[""])).sum(-1)
    return mixed.sum() + (mixed[:3] * mixed[3:]).sum()


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inner", [FirstOrder(), Neighborhood(d=2, n_nbr=3)], ids=["plain", "na"])
@pytest.mark.parametrize("rho", [0.0, Linear((0.0, 1.0))], ids=str)
def test_without_an_ascent_it_is_the_inner_gradient_to_the_last_bit(center, dtype, inner, rho):
    alpha, objective = random_parameters(dtype=dtype), mixing_objective_of(cost)
    found = A2M(rho, 0.01, center, inner).gradient(alpha, objective)
    assert same(found, inner.gradient(alpha, objective))


def test_its_neutral_value_gives_the_plain_gradient():
    alpha, objective = random_parameters(), mixing_objective_of(cost)
    assert same(A2M(**A2M.neutral).gradient(alpha, objective), objective.gradient(alpha))


@pytest.mark.parametrize("center", CENTERS)
def test_the_parameters_are_left_as_they_were(center):
    alpha = random_parameters()
    before = {kind: rows.clone() for kind, rows in alpha.items()}
    A2M(1.0, 0.1, center).gradient(alpha, mixing_objective_of(cost))
    assert same(alpha, before)
    assert not any(rows.requires_grad or rows.grad is not None for rows in alpha.values())


def test_it_gives_the_same_twice():
    alpha, objective = random_parameters(), mixing_objective_of(cost, relaxation=Dirichlet(), seed=7)
    a, b = (A2M(0.1).gradient(alpha, objective) for _ in range(2))
    assert same(a, b)


def test_the_radius_may_grow_with_the_epochs():
    alpha = random_parameters()
    middle = mixing_objective_of(cost, progress=Progress(25, 50))
    found = A2M(Linear((0.0, 0.2))).gradient(alpha, middle)
    assert same(found, A2M(0.1).gradient(alpha, middle))


def test_rows_that_are_decided_have_no_gradient():
    alive = only(CELL, {("", 1): (2,), ("", 5): ()})
    found = A2M(0.5).gradient(random_parameters(), mixing_objective_of(cost, alive=alive))[""]
    torch.testing.assert_close(found[[1, 5]], torch.zeros(2, 5, dtype=torch.float64), atol=1e-12, rtol=0)
    assert (found[0] != 0).all()


@pytest.mark.parametrize("center", CENTERS)
def test_of_a_random_objective_it_measures_curvature_and_no_noise(center):
    """All four gradients are of one Dirichlet draw: a narrower difference gives the same.

    The logits are away from 0, where the second derivative of ELU jumps.
    """
    alpha = random_parameters()
    for seed in range(5):
        objective = mixing_objective_of(cost, relaxation=Dirichlet(), seed=seed)
        wide, narrow = (A2M(0.1, e, center).gradient(alpha, objective)[""] for e in (1e-3, 1e-4))
        plain = objective.gradient(alpha)[""]
        assert (wide - narrow).norm() < 0.02 * (narrow - plain).norm()


# Around other gradients


@dataclass
class Recorder:
    """An inner gradient of the user's own, ``2 x``, which remembers where it was asked for."""

    asked: list

    def gradient(self, alpha, objective):
        self.asked.append(alpha[""].item())
        return {"": 2 * alpha[""]}


@pytest.mark.parametrize(("center", "middle"), [("tilde", 1.2), ("alpha", 1.0)])
def test_it_asks_the_inner_gradient_four_times_where_the_paper_does(center, middle):
    recorder = Recorder([])
    A2M(0.1, 0.01, center, recorder).gradient(at(1.0), objective_of(None))
    assert recorder.asked == pytest.approx([1.0, 1.2, middle + 0.024, middle - 0.024])


def test_over_a_neighborhood_all_four_gradients_see_the_same_neighbors():
    """So it is A2M of the neighborhood's mean loss, whose noise is held fixed."""
    na = Neighborhood(d=3, n_nbr=4)
    alpha, objective = random_parameters(scale=0.1), mixing_objective_of(cost, seed=11)
    moves = []

    def recording(alpha, move=None):
        moves.append(move or dict)
        return objective.loss(alpha, move)

    na.gradient(alpha, replace(objective, loss=recording))
    assert len(moves) == 4
    mean = mixing_objective_of(lambda theta: torch.stack([cost(move(theta)) for move in moves]).mean())
    found = A2M(0.1, 0.01, "tilde", na).gradient(alpha, objective)
    torch.testing.assert_close(found, A2M(0.1, 0.01, "tilde").gradient(alpha, mean))


def test_where_the_inner_gradient_is_none_so_is_its_own():
    class Nothing:
        def gradient(self, alpha, objective):
            return None

    assert A2M(inner=Nothing()).gradient(at(1.0), objective_of(None)) is None


def test_frozen_parameters_get_no_gradient_and_cost_no_evaluation():
    assert Frozen().gradient(at(1.0), objective_of(None)) is None


# From a file


def test_it_is_built_from_a_file_with_what_it_nests():
    builder = Builder()
    inner = {"name": "neighborhood", "d": 2, "aggregator": "max"}
    built = builder.build(A2M, {"rho": {"linear": [0, 1]}, "center": "alpha", "inner": inner})
    assert built == A2M(Linear((0.0, 1.0)), 0.01, "alpha", Neighborhood(d=2, aggregator=Max()))
    assert builder.build(A2M, {"inner": "unrolled"}) == A2M(inner=Unrolled())
    assert not builder.problems


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ({"rho": -0.1}, "rho", "-0.1 is negative or not finite; give 0 or more"),
        ({"epsilon": 0.0}, "epsilon", "0.0 is not positive and finite; give 0.01"),
        ({"inner": "frozen"}, "inner", "frozen has no gradient to ascend by"),
        ({"center": "middle"}, "center", "'middle': input should be 'tilde' or 'alpha'"),
    ],
)
def test_bad_values_are_refused_in_words(data, field, message):
    builder = Builder()
    assert builder.build(A2M, data) is None
    ((path, found),) = builder.problems
    assert path == (field,)
    assert found.startswith(message)


def test_what_the_inner_gradient_cannot_do_in_a_space_is_its_problem_too():
    a2m = A2M(inner=Neighborhood(d=7))
    ((field, message),) = a2m.problems(get_space("nas_bench_201"))
    assert field == "inner.d"
    assert message.startswith("7 exceeds the 6 edges of a cell of nas_bench_201")
    assert not list(A2M().problems(get_space("nas_bench_201")))


@pytest.mark.parametrize("component", [A2M(), A2M(inner=Neighborhood(d=2)), Frozen()], ids=str)
def test_a_component_is_a_value(component):
    assert pickle.loads(pickle.dumps(component)) == component
    assert hash(pickle.loads(pickle.dumps(component))) == hash(component)
