"""The direction in which a loss bends most, against the whole Hessian's."""

from __future__ import annotations

import pytest
import torch
from subjects import small_subject

from raynas.flatness.eigenvector import steepest
from raynas.flatness.hessian import hessian


def bowl(eigenvalues, seed=0):
    """A quadratic over weights of two shapes, with its first eigenvector."""
    n = len(eigenvalues)
    generator = torch.Generator().manual_seed(seed)
    turned, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    matrix = turned @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ turned.T
    weights = {"a": torch.zeros(n - 2, dtype=torch.float64), "b": torch.zeros(2, 1, dtype=torch.float64)}

    def loss(weights):
        flat = torch.cat([weights["a"], weights["b"].flatten()])
        return flat @ matrix @ flat / 2 + 1e-3 * flat.sum()

    return loss, weights, turned[:, 0]


def flat(direction):
    return torch.cat([part.flatten() for part in direction.values()])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eigenvalues", [(5.0, 1.0, 0.5, -2.0, 0.0), (-5.0, 1.0, 2.0, 0.0)])
def test_it_is_the_eigenvector_of_the_largest_eigenvalue_in_size(eigenvalues, seed):
    loss, weights, due = bowl(eigenvalues)
    found = flat(steepest(loss, weights, weights, seed=seed, tolerance=1e-12))
    assert found.norm().item() == pytest.approx(1)
    assert abs(due @ found).item() == pytest.approx(1, rel=1e-6)
    assert found.sum() > 0, "the slope is the same in all directions, so it rises where the sum is positive"


def test_shapes_are_those_of_the_weights_and_these_stay_as_they_are():
    loss, weights, _ = bowl((3.0, 1.0, 1.0, 0.5))
    found = steepest(loss, weights, weights, seed=0)
    assert {name: part.shape for name, part in found.items()} == {"a": (2,), "b": (2, 1)}
    assert not any(weight.any() or weight.requires_grad for weight in weights.values())
    assert not any(part.requires_grad for part in found.values())


def test_of_a_real_network_it_is_the_whole_hessians():
    subject = small_subject(torch.float64)
    names = ["cell.0.weight", "classifier.weight", "classifier.bias"]
    found = flat(steepest(subject.loss, subject.weights, names, seed=0, n_products=500, tolerance=1e-12))
    matrix = hessian(
        lambda point: subject.loss({**subject.weights, **point}),
        {name: subject.weights[name] for name in names},
    )
    values, vectors = torch.linalg.eigh(matrix)
    due = vectors[:, values.abs().argmax()]
    assert abs(due @ found).item() == pytest.approx(1, rel=1e-4)


def test_weights_that_the_loss_does_not_hang_on_have_no_direction():
    weights = {"used": torch.zeros(3), "unused": torch.zeros(100)}
    found = steepest(lambda w: (w["used"] ** 2).sum() + w["used"][0], weights, weights, seed=0)
    assert list(found) == ["used"]
    assert found["used"].norm().item() == pytest.approx(1)
    assert steepest(lambda w: w["used"].sum(), weights, ["unused"], seed=0) == {}


@pytest.mark.parametrize("power", [1, 2])
def test_on_a_plane_any_direction_that_rises_will_do(power):
    weights = {"w": torch.zeros(3, dtype=torch.float64), "v": torch.zeros(2, dtype=torch.float64)}
    slope = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found = steepest(lambda w: slope @ w["w"] + (w["v"] ** power).sum(), weights, weights, seed=0)
    assert flat(found).norm().item() == pytest.approx(1)
    assert (slope @ found["w"] + (power == 1) * found["v"].sum()).item() >= 0


def test_equal_seeds_find_equal_directions_without_the_global_random_state():
    loss, weights, _ = bowl((3.0, 2.9, 1.0, 0.5))
    before = torch.get_rng_state()
    one, other = (steepest(loss, weights, weights, seed=4, n_products=2) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(flat(one), flat(other))
