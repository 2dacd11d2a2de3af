"""The discrete network of NAS-Bench-201: published counts, the cell's formula, randomness kept apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raynas.errors import InputError
from raynas.spaces import Architecture, get_space
from raynas.supernets.cost import count_flops, count_parameters
from raynas.supernets.nas_bench_201 import Cell, NasBench201Network
from raynas.supernets.operations import operation

torch.set_num_threads(1)

SPACE = get_space("nas_bench_201")
POOLS = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"


def uniform(name):
    return f"|{name}~0|+|{name}~0|{name}~1|+|{name}~0|{name}~1|{name}~2|"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(text_or_architecture, seed=0, **options):
    chosen = (
        SPACE.parse(text_or_architecture) if isinstance(text_or_architecture, str) else text_or_architecture
    )
    return NasBench201Network(
        chosen,
        **{"channels": 4, "cells": 1, "stages": 2, "in_channels": 1, "generator": seeded(seed)} | options,
    )


# Cost


@pytest.mark.parametrize(
    ("text", "n_parameters"),
    [
        (uniform("nor_conv_3x3"), 1_531_546),
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
            1_288_506,
        ),
        (uniform("skip_connect"), 73_306),
        (uniform("none"), 73_306),
        (POOLS, 129_306),
    ],
)
def test_parameters_are_as_many_as_in_nas_bench_201(text, n_parameters):
    assert count_parameters(NasBench201Network(SPACE.parse(text), generator=seeded())) == n_parameters


@pytest.mark.parametrize(
    ("text", "side", "n_classes", "flops_m"),
    [
        (uniform("nor_conv_3x3"), 32, 10, 220.11969),
        (uniform("nor_conv_3x3"), 32, 100, 220.12554),
        (uniform("nor_conv_3x3"), 16, 120, 55.03756),
        (uniform("skip_connect"), 32, 10, 7.78305),
        (uniform("skip_connect"), 32, 100, 7.78890),
        (uniform("none"), 16, 120, 1.95340),
        (POOLS, 32, 10, 15.64737),
    ],
)
def test_multiply_adds_are_those_of_nas_bench_201(text, side, n_classes, flops_m):
    """Its extreme figures on the three datasets; it counts the linear layer's biases, we do not."""
    network = NasBench201Network(SPACE.parse(text), n_classes=n_classes, generator=seeded())
    assert count_flops(network, (3, side, side)) + n_classes == round(flops_m * 1e6)


def test_multiply_adds_are_those_worked_out_by_hand():
    network = small(
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|", n_classes=7
    )
    stem = 9 * 1 * 4 * 64
    first_cell = (9 + 1) * 4 * 4 * 64
    reduction = 9 * 4 * 8 * 16 + 9 * 8 * 8 * 16 + 4 * 8 * 16
    second_cell = (9 + 1) * 8 * 8 * 16
    assert count_flops(network, (1, 8, 8)) == stem + first_cell + reduction + second_cell + 8 * 7


def test_counting_leaves_the_network_as_it_was():
    network = small(uniform("nor_conv_3x3")).train()
    network.body[0].eval()
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_flops(network, (1, 8, 8))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


# The cell


def test_a_cell_is_the_sum_over_its_edges_in_official_order():
    rng = np.random.default_rng(0)
    x = torch.randn(2, 4, 5, 5, generator=seeded(1))
    for _ in range(30):
        architecture = SPACE.sample(rng)
        network = small(architecture, stages=1).eval()
        cell = network.body[0]
        op = dict(zip([(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)], cell.edges, strict=True))
        node1 = op[1, 0](x)
        node2 = op[2, 0](x) + op[2, 1](node1)
        node3 = op[3, 0](x) + op[3, 1](node1) + op[3, 2](node2)
        torch.testing.assert_close(cell(x), node3, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("n_edges", "n_nodes"), [(1, 2), (3, 3), (6, 4), (10, 5)])
def test_a_cell_of_skips_gives_as_many_copies_as_there_are_paths(n_edges, n_nodes):
    x = torch.ones(1, 2, 3, 3)
    assert torch.equal(Cell(["skip_connect"] * n_edges, 2)(x), x * 2 ** (n_nodes - 2))


def test_edges_of_none_are_not_computed(monkeypatch):
    cell = Cell(["skip_connect", "none", "skip_connect", "none", "none", "skip_connect"], 2)
    for edge in cell.edges:
        if type(edge) is type(operation("none", 2)):
            monkeypatch.setattr(edge, "forward", lambda x: pytest.fail("computed"))
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(cell(x), x)


def test_a_node_without_inputs_is_zeros_and_the_network_still_learns_its_class_shares():
    network = small(uniform("none"))
    images = torch.randn(6, 1, 8, 8, generator=seeded(1))
    logits = network(images)
    torch.testing.assert_close(logits, logits[:1].expand_as(logits), msg="nothing of the image gets through")
    logits.sum().backward()
    assert network.head[-1].bias.grad is not None


# The network


@pytest.mark.parametrize("side", [(1, 1), (2, 3), (7, 7), (8, 8), (16, 16), (32, 31)])
def test_images_of_any_size_pass(side):
    logits = small(POOLS, stages=3, n_classes=5)(torch.zeros(2, 1, *side))
    assert logits.shape == (2, 5)


def test_stages_double_the_channels_and_halve_the_image():
    network = small(uniform("skip_connect"), stages=3, cells=2)
    shapes = []
    for block in network.body:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    network.eval()(torch.zeros(1, 1, 8, 8))
    assert shapes == [(4, 8, 8)] * 2 + [(8, 4, 4)] * 3 + [(16, 2, 2)] * 3


def test_equal_generators_make_equal_networks_and_others_others():
    first, same, other = (small(uniform("nor_conv_3x3"), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_building_leaves_the_global_random_state_alone_and_ignores_it():
    before = torch.get_rng_state()
    first = small(uniform("nor_conv_3x3")).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        second = small(uniform("nor_conv_3x3")).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_all_tensors_are_real_and_finite():
    for name, tensor in small(uniform("nor_conv_1x1")).state_dict().items():
        assert tensor.device.type == "cpu", name
        assert torch.isfinite(tensor).all(), name


def test_a_space_of_another_kind_of_cell_is_refused():
    darts = get_space("darts")
    architecture = darts.sample(np.random.default_rng(0))
    with pytest.raises(InputError, match="search space darts: due are cells like those of NAS-Bench-201"):
        NasBench201Network(architecture, generator=seeded())


def test_an_architecture_is_all_it_needs():
    """The space by name, the operations by index: what travels to another process."""
    made = NasBench201Network(
        Architecture("nas_bench_201", (1,) * 6), channels=4, cells=1, stages=1, generator=seeded()
    )
    assert made.eval()(torch.zeros(1, 3, 4, 4)).shape == (1, 10)
