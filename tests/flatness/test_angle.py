"""The angle between weights before and after training, in closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from subjects import Landscape, constant

from raynas.errors import InputError
from raynas.flatness.metric.angle import Angle, angle
from raynas.flatness.vector import Constant, Vector, products, strung

NINTH = Constant(1 / 9, 1)


def between(initial, trained, *, times=None, constants=None):
    """Angle of a subject with one weight a list of numbers."""
    before = {name: torch.tensor(numbers, dtype=torch.float64) for name, numbers in initial.items()}
    after = {name: torch.tensor(numbers, dtype=torch.float64) for name, numbers in trained.items()}
    vector = Vector(times or dict.fromkeys(before, 1), constants or {})
    return Angle().measure(Landscape(after, lambda weights: 0, initial=before, made_of=vector), 0)


@pytest.mark.parametrize(
    ("trained", "due"),
    [((1.0, 2.0), 0.0), ((-1.0, -2.0), math.pi), ((-2.0, 1.0), math.pi / 2), ((-6.0, 3.0), math.pi / 2)],
)
def test_equal_opposite_and_orthogonal_weights(trained, due):
    found = between({"w": (1.0, 2.0)}, {"w": trained})
    assert found.value == pytest.approx(due, abs=1e-12)
    assert found.share == pytest.approx(due / math.pi, abs=1e-12)
    assert found.metrics == {"angle": found.value}


def test_scaling_the_trained_weights_changes_nothing():
    one = between({"w": (1.0, 2.0), "v": (3.0,)}, {"w": (2.0, 1.0), "v": (1.0,)})
    ten = between({"w": (1.0, 2.0), "v": (3.0,)}, {"w": (20.0, 10.0), "v": (10.0,)})
    assert ten.value == pytest.approx(one.value)


@pytest.mark.parametrize("m", [1, 9, 81, 810])
def test_constants_pull_the_angle_towards_0(m):
    found = between({"w": (1.0, 0.0)}, {"w": (0.0, 1.0)}, constants={NINTH: m})
    assert math.cos(found.value) == pytest.approx((m / 81) / (1 + m / 81))
    if m == 81:
        assert found.value == pytest.approx(math.pi / 3)


def test_a_weight_counts_as_often_as_it_stands_in_the_vector():
    found = between({"w": (1.0, 0.0), "v": (1.0,)}, {"w": (0.0, 1.0), "v": (1.0,)}, times={"w": 1, "v": 3})
    assert math.cos(found.value) == pytest.approx(3 / 4)
    twice = between({"w": (1.0, 0.0), "v": (1.0,)}, {"w": (0.0, 1.0), "v": (1.0,)}, times={"w": 2, "v": 6})
    assert twice.value == pytest.approx(found.value), "multiplicity matters, not how much there is in all"


@pytest.mark.parametrize("seed", range(20))
def test_nearly_parallel_float32_weights_have_an_angle_and_equal_ones_have_exactly_none(seed):
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(1000, generator=generator) for name in "ab"}
    scaled = {name: weight * 1.1 for name, weight in weights.items()}
    vector = Vector({"a": 3, "b": 7}, {Constant(1 / 9, 144): 5})
    assert angle(vector, products(weights, weights)) < 1e-7
    assert 0 <= angle(Vector({"a": 3, "b": 7}), products(weights, scaled)) < 1e-6


def test_a_cosine_that_rounding_puts_beyond_1_is_1():
    class Rounded:
        before, after, across = 1.0, 1.0, 1 + 1e-7

    assert angle(Vector({"w": 1}), {"w": Rounded()}) == 0
    Rounded.across = -1 - 1e-7
    assert angle(Vector({"w": 1}), {"w": Rounded()}) == math.pi


def test_weights_that_diverged_have_no_angle():
    assert math.isnan(between({"w": (1.0, 0.0)}, {"w": (math.nan, 1.0)}).value)


def test_an_empty_vector_has_the_angle_0():
    subject = constant(1.0, initial={"w": torch.ones(3)}, made_of=Vector())
    assert Angle().measure(subject, 0).value == 0
    assert strung(Vector(), subject.weights).shape == (0,)
    assert between({"w": (0.0, 0.0)}, {"w": (0.0, 1.0)}).value == 0


def test_products_give_the_angle_of_the_vectors_themselves():
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (3, 2), "b": (4,), "c": (2, 2, 2), "unused": (5,)}
    before, after = (
        {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} for _ in range(2)
    )
    vector = Vector({"a": 8, "b": 1, "c": 4}, {Constant(1 / 9, 36): 3, Constant(1.0, 4, zeros=12): 2})
    one, other = (strung(vector, weights).double() for weights in (before, after))
    assert len(one) == 8 * 6 + 4 + 4 * 8 + 3 * 36 + 2 * 16
    due = math.acos(one @ other / (one.norm() * other.norm()))
    assert angle(vector, products(before, after, vector.times)) == pytest.approx(due)


def test_without_the_weights_from_before_training_it_says_what_to_do():
    with pytest.raises(InputError, match=r"were not kept.*keep them, or use metric: flatness"):
        Angle().measure(constant(1.0), 0)
