"""Cells computed together give what their candidates give one by one, gradients and statistics included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from raynas.spaces import get_space
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixing import Mixing
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.supernets.statistics import untracked

SPACE = get_space("nas_bench_201")


def supernet(*, fused):
    made = NasBench201(channels=4, cells=2, stages=2).supernet(
        SPACE, in_channels=1, n_classes=10, generator=torch.Generator().manual_seed(0)
    )
    made.double()
    for cell in made.modules():
        if isinstance(cell, MixedCell):
            assert cell._fusible
            cell._fusible = fused
    return made


def outcome(made, images, alive, *, edges, training=True):
    """Logits, gradients by all there is, and the state after it."""
    torch.manual_seed(0)
    alpha = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    beta = torch.rand(6, dtype=torch.float64, requires_grad=True)
    mixing = Mixing({"": torch.softmax(alpha, 1)}, {"": alive}, {"": beta} if edges else {})
    made.train(training)
    logits = made(images, mixing)
    inputs = [alpha, beta, *made.parameters()]
    gradients = torch.autograd.grad(logits.square().sum(), inputs, allow_unused=True, materialize_grads=True)
    return [logits, *gradients, *made.buffers()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.0])
def test_it_gives_what_the_candidates_give_one_by_one(share, edges, training):
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    alive = np.random.default_rng(3).random((6, 5)) < share
    one, other = (
        outcome(supernet(fused=fused), images, alive, edges=edges, training=training)
        for fused in (True, False)
    )
    for mine, due in zip(one, other, strict=True):
        torch.testing.assert_close(mine, due, rtol=1e-9, atol=1e-9)


def test_running_statistics_are_left_alone_where_they_are_not_tracked():
    made = supernet(fused=True)
    before = [buffer.clone() for buffer in made.buffers()]
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    with untracked(made):
        outcome(made, images, np.ones((6, 5), bool), edges=False)
    assert all(map(torch.equal, before, made.buffers()))


def test_operations_that_are_not_alive_are_not_computed():
    made = supernet(fused=True).eval()
    costs = []
    for share in (1.0, 0.4, 0.0):
        alive = np.random.default_rng(0).random((6, 5)) < share
        mixing = Mixing({"": torch.ones(6, 5, dtype=torch.float64)}, {"": alive})
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made(torch.zeros(1, 1, 8, 8, dtype=torch.float64), mixing)
        costs.append((counter.get_total_flops(), alive[:, 2].sum(), alive[:, 3].sum()))
    rest = costs[-1][0]
    cell = 2 * 2 * (8 * 8 * 4 * 4 + 4 * 4 * 8 * 8)  # of a 1x1 convolution in all four cells
    for flops, n_small, n_large in costs:
        assert flops == rest + cell * (n_small + 9 * n_large)


def test_other_cells_are_computed_one_by_one():
    made = Darts(channels=4, layers=3).supernet(
        get_space("darts_s2"), in_channels=1, n_classes=10, generator=torch.Generator().manual_seed(0)
    )
    assert not any(cell._fusible for cell in made.modules() if isinstance(cell, MixedCell))
