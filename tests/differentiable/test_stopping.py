"""Rules that end a search: the Hessian's eigenvalue (DARTS-ES), the best validation loss (A2M)."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raynas.config.building import Builder
from raynas.differentiable.relaxation.softmax import masked_softmax
from raynas.differentiable.slots import Record, Stop
from raynas.differentiable.stopping.best_validation_loss import BestValidationLoss
from raynas.differentiable.stopping.hessian_eigenvalue import HessianEigenvalue
from raynas.flatness.hessian import greatest_eigenvalue, hessian
from raynas.spaces import get_space
from raynas.supernets.layout import Layout
from raynas.supernets.mixing import Mixing
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

torch.set_num_threads(1)

CELL = Layout(get_space("nas_bench_201"))


def ended(rule, history):
    """The last epoch of a search, counted from 0, and the answer; nothing where it is not ended."""
    for epoch in range(len(history)):
        stop = rule.stop(history[: epoch + 1])
        if stop is not None:
            return epoch, stop
    return None


def measured(value_at, epochs=50, every=2):
    """A history with eigenvalues after every other epoch."""
    return [Record(1.0, None if epoch % every else value_at(epoch)) for epoch in range(epochs)]


# The Hessian's eigenvalue


def test_the_search_of_the_reference_ends_after_epoch_24_with_the_architecture_of_epoch_12():
    """Thirteen epochs are over when epoch 12 is."""
    rise = {18: 0.115, 20: 0.132, 22: 0.152, 24: 0.175}
    assert ended(HessianEigenvalue(), measured(lambda epoch: rise.get(epoch, 0.1))) == (24, Stop(13))


def test_a_smaller_rise_or_a_greater_factor_lets_it_go_on():
    rise = {18: 0.115, 20: 0.132, 22: 0.152, 24: 0.175}
    history = measured(lambda epoch: rise.get(epoch, 0.1), epochs=26)
    assert ended(HessianEigenvalue(factor=1.34), history) == (24, Stop(13))
    assert ended(HessianEigenvalue(factor=1.35), history) is None  # (0.674 / 5) / 0.1 = 1.348


def test_the_first_test_is_after_epoch_22():
    """However steep the rise, and from epoch 0 on."""
    assert ended(HessianEigenvalue(), measured(lambda epoch: 2.0**epoch)) == (22, Stop(11))


def test_at_the_beginning_averages_span_what_there_is():
    """With start 0 the first test compares epochs 4 to 12 with 0 to 4, three measurements."""
    values = {0: 1.0, 2: 2.0, 4: 3.0, 6: 2.0, 8: 2.0, 10: 2.0, 12: 4.0}
    history = measured(lambda epoch: values[epoch], epochs=13)
    assert ended(HessianEigenvalue(start=0, factor=2.6 / 2.0 - 1e-9), history) == (12, Stop(1))
    assert ended(HessianEigenvalue(start=0, factor=2.6 / 2.0 + 1e-9), history) is None


def test_nothing_is_tested_in_epochs_that_are_not_measured():
    history = measured(lambda epoch: 2.0**epoch)
    assert HessianEigenvalue().stop(history[:24]) is None, "after epoch 23"
    assert HessianEigenvalue().stop(history[:25]) == Stop(13)
    assert HessianEigenvalue().stop([]) is None


def test_other_intervals_and_windows_move_the_answer():
    """The middle of the earlier window: every * (window // 2 + delta) epochs back."""
    rule = HessianEigenvalue(window=3, delta=2, every=1, start=4)
    assert ended(rule, measured(lambda epoch: 2.0**epoch, every=1)) == (7, Stop(5))
    rule = HessianEigenvalue(window=1, delta=1, every=5, start=0)
    assert ended(rule, measured(lambda epoch: 2.0**epoch, every=5)) == (5, Stop(1))


@given(st.lists(st.floats(0.01, 10), min_size=25, max_size=25), st.floats(0.1, 10))
def test_the_unit_of_the_loss_does_not_matter(values, scale):
    def at(factor):
        return ended(HessianEigenvalue(), measured(lambda epoch: factor * values[epoch // 2]))

    # powers of two, so that rounding does not decide
    assert at(1.0) == at(2.0 ** round(math.log2(scale)))


@given(st.lists(st.floats(0.01, 10), min_size=25, max_size=25))
def test_it_is_the_rule_written_out(values):
    def average(number):
        return sum(values[max(0, number - 4) : number + 1]) / min(5, number + 1)

    due = next(
        (
            (epoch, Stop(epoch - 12 + 1))
            for epoch in range(22, 50, 2)
            if average(epoch // 2) > 1.3 * average(epoch // 2 - 4)
        ),
        None,
    )
    assert ended(HessianEigenvalue(), measured(lambda epoch: values[epoch // 2])) == due


def test_eigenvalues_that_are_not_numbers_end_nothing_and_missing_ones_are_an_error():
    assert ended(HessianEigenvalue(), measured(lambda epoch: math.nan)) is None
    with pytest.raises(ValueError, match="due is an eigenvalue after epoch 0 and every 2"):
        HessianEigenvalue().stop([Record(1.0)] * 25)


def test_a_search_that_is_not_ended_answers_with_its_last_epoch():
    assert HessianEigenvalue().final(measured(lambda epoch: 0.1)) is None


# The best validation loss


def history_of(*losses):
    return [Record(loss) for loss in losses]


def test_the_answer_is_the_architecture_from_before_the_best_epoch():
    rule = BestValidationLoss()
    assert rule.final(history_of(3.0, 2.0, 1.0, 2.0)) == Stop(2), "two epochs were over"
    assert rule.final(history_of(1.0, 2.0)) == Stop(0), "the architecture of the very beginning"
    assert rule.final(history_of(2.0, 1.0, 1.0)) == Stop(1), "of equal ones the first"


def test_it_ends_after_more_than_ten_epochs_without_a_new_best():
    falling = [3.0, 2.0, 1.0]
    assert ended(BestValidationLoss(), history_of(*falling, *[1.5] * 10)) is None
    assert ended(BestValidationLoss(), history_of(*falling, *[1.5] * 20)) == (13, Stop(2))
    assert ended(BestValidationLoss(), history_of(*falling, *[1.5] * 10, 0.5, *[1.5] * 10)) is None
    assert ended(BestValidationLoss(patience=0), history_of(*falling, 1.5)) == (3, Stop(2))


def test_losses_that_are_not_numbers_are_never_the_best():
    rule = BestValidationLoss(patience=1)
    assert rule.final(history_of(math.nan, 2.0, math.nan, 1.0)) == Stop(3)
    assert rule.final(history_of(math.nan)) is None
    assert ended(rule, history_of(2.0, math.nan, math.nan)) == (2, Stop(0))
    assert ended(rule, history_of(*[math.nan] * 9)) is None
    assert rule.stop([]) is None


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=40), st.integers(0, 5))
def test_a_search_goes_on_as_long_as_its_best_is_recent(losses, patience):
    found = ended(BestValidationLoss(patience=patience), history_of(*losses))
    last = len(losses) - 1 if found is None else found[0]
    best = losses[: last + 1].index(min(losses[: last + 1]))
    assert (last - best > patience) == (found is not None)
    if found is not None:
        assert found[1] == Stop(best)


# Hyperparameters


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (HessianEigenvalue, {"factor": 0.0}, "factor: 0.0 is not positive and finite; give 1.3 or so"),
        (HessianEigenvalue, {"factor": math.nan}, "factor: nan is not positive"),
        (HessianEigenvalue, {"window": 0}, "window: 0 is below 1"),
        (HessianEigenvalue, {"delta": 0}, "delta: 0 is below 1"),
        (HessianEigenvalue, {"every": 0}, "every: 0 is below 1"),
        (HessianEigenvalue, {"start": -1}, "start: -1 is negative; give 0 or more"),
        (BestValidationLoss, {"patience": -1}, "patience: -1 is negative; give 10 or so"),
    ],
)
def test_what_cannot_work_is_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@pytest.mark.parametrize("kind", [HessianEigenvalue, BestValidationLoss])
def test_hyperparameters_are_a_value_that_yaml_gives(kind):
    assert Builder().build(kind, {}) == kind() == pickle.loads(pickle.dumps(kind()))
    assert hash(kind()) == hash(kind())


# The Hessian


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_hessian_of_a_quadratic_is_its_matrix(dtype):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(7, 7, generator=generator, dtype=dtype)
    matrix = matrix + matrix.T
    numbers, slope = torch.randn(2, 7, generator=generator, dtype=dtype)
    point = {"a": numbers[:4].view(2, 2), "b": numbers[4:]}

    def loss(at):
        flat = torch.cat([at["a"].flatten(), at["b"]])
        return flat @ matrix @ flat / 2 + slope @ flat + 3

    found = hessian(loss, point)
    assert found.dtype == dtype
    assert not found.requires_grad
    torch.testing.assert_close(found, matrix)
    assert greatest_eigenvalue(found) == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=1e-5)
    assert not any(tensor.requires_grad for tensor in point.values())


def test_the_greatest_eigenvalue_is_not_the_largest_in_size():
    assert greatest_eigenvalue(torch.diag(torch.tensor([-5.0, 2.0, 1.0]))) == pytest.approx(2)
    assert greatest_eigenvalue(torch.diag(torch.tensor([-5.0, -2.0]))) == pytest.approx(-2)
    assert math.isnan(greatest_eigenvalue(torch.full((2, 2), math.nan)))


@pytest.mark.parametrize(
    "loss",
    [
        lambda at: (at["a"] * torch.arange(3.0)).sum(),  # linear in all it reads
        lambda at: torch.tensor(1.0) + 0 * at["a"].sum(),
        lambda at: at["a"].sum() + at["b"].pow(3).sum() * 0,
    ],
)
def test_a_loss_without_curvature_has_a_hessian_of_zeros(loss):
    point = {"a": torch.ones(3), "b": torch.ones(2)}
    assert torch.equal(hessian(loss, point), torch.zeros(5, 5))


def test_by_logits_it_is_the_softmax_hessian_which_is_flat_along_equal_shifts():
    alpha = {"": torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)}
    costs = torch.randn(6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = hessian(lambda at: (costs * at[""].softmax(1)).sum(), alpha)
    p = alpha[""].softmax(1)
    for row in range(6):
        jacobian = torch.diag(p[row]) - torch.outer(p[row], p[row])
        slope = jacobian @ costs[row]
        due = torch.diag(slope) - torch.outer(slope, p[row]) - torch.outer(p[row], slope)
        torch.testing.assert_close(found[5 * row : 5 * row + 5, 5 * row : 5 * row + 5], due)
    shift = torch.kron(torch.eye(6, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(found @ shift.T, torch.zeros(30, 6, dtype=torch.float64))


def test_on_a_supernet_it_agrees_with_finite_differences_of_the_gradient():
    supernet = NasBench201(channels=2, cells=1, stages=1).supernet(
        get_space("nas_bench_201"), in_channels=1, n_classes=3, generator=torch.Generator().manual_seed(0)
    )
    supernet.double()
    images = torch.randn(12, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, alive = torch.arange(12) % 3, CELL.all_alive()

    def loss(at):
        mixing = Mixing({"": masked_softmax(at[""], alive[""])}, alive)
        return torch.nn.functional.cross_entropy(supernet(images, mixing), labels)

    alpha = {"": torch.randn(6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)}
    found = hessian(loss, alpha)
    torch.testing.assert_close(found, found.T, rtol=1e-6, atol=1e-9)
    direction = torch.randn(6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def slope(at):
        leaf = at.clone().requires_grad_()
        return torch.autograd.grad(loss({"": leaf}), leaf)[0]

    step = 1e-5
    ahead, behind = (slope(alpha[""] + sign * step * direction) for sign in (1, -1))
    due = (ahead - behind).flatten() / (2 * step)
    torch.testing.assert_close(found @ direction.flatten(), due, rtol=1e-4, atol=1e-6)
    assert greatest_eigenvalue(found) >= -1e-12, "softmax is flat along six directions"
    assert all(tensor.grad is None for tensor in supernet.parameters())
