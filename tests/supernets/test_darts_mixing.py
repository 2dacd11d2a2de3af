"""The supernet of the DARTS space as a function of mixing weights, against formulas and discrete networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.spaces import get_space
from raynas.supernets.darts import DartsNetwork
from raynas.supernets.draws import drawn_from
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixed_edge import MixedEdge
from raynas.supernets.mixing import Mixing, edge_mixings, of_architecture
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.statistics import untracked

torch.set_num_threads(1)

SPACES = ["darts", "darts_s1", "darts_s2", "darts_s3", "darts_s4", "darts_s5"]
KINDS = ("normal", "reduce")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(space="darts", *, channels=4, layers=3, stem="cifar"):
    skeleton = Darts(channels=channels, layers=layers, stem=stem)
    return skeleton.supernet(get_space(space), in_channels=1, n_classes=5, generator=seeded())


def images(n=3, side=8, dtype=torch.float32):
    return torch.randn(n, 1, side, side, generator=seeded(9), dtype=dtype)


# Discrete networks


def without_pool_norms(supernet):
    """The discrete network has none, so the two can be compared."""
    for edge in supernet.modules():
        for column, candidate in enumerate(edge.candidates if isinstance(edge, MixedEdge) else ()):
            if isinstance(candidate, nn.Sequential) and isinstance(candidate[0], nn.MaxPool2d | nn.AvgPool2d):
                edge.candidates[column] = candidate[0]
    return supernet


def discrete_twin(supernet, architecture, carry_over, **options):
    """The discrete network of the same weights, whose batch norms' own are the identity."""
    skeleton = {"channels": 4, "layers": 3, "in_channels": 1, "n_classes": 5, "generator": seeded(5)}
    network = DartsNetwork(architecture, **skeleton | options)
    carry_over(supernet.stem, network.stem)
    carry_over(supernet.head, network.head)
    alive = supernet.layout.alive_of(architecture)
    for kind, mixed, cell in zip([*KINDS, "reduce"], supernet.cells, network.cells, strict=True):
        carry_over(mixed.inputs, cell.inputs)
        for (row, column), edge in zip(np.argwhere(alive[kind]), cell.edges, strict=True):
            carry_over(mixed.nodes.edges[row].candidates[column], edge)
    return network


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("space", ["darts", "darts_s1", "darts_s2", "darts_s3", "darts_s5"])
def test_weights_of_one_operation_an_edge_make_it_the_discrete_network(space, training, carry_over):
    supernet, rng = without_pool_norms(small(space)), np.random.default_rng(0)
    for norm in supernet.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(generator=seeded(1))
    for _ in range(3):
        architecture = supernet.layout.space.sample(rng)
        network = discrete_twin(supernet, architecture, carry_over)
        mixing = of_architecture(supernet.layout, architecture)
        found, due = supernet.train(training)(images(), mixing), network.train(training)(images())
        torch.testing.assert_close(found, due, rtol=0, atol=1e-6)


def test_with_the_stem_of_imagenet_too(carry_over):
    supernet = without_pool_norms(small("darts_s5", stem="imagenet"))
    architecture = supernet.layout.space.sample(np.random.default_rng(0))
    network = discrete_twin(supernet, architecture, carry_over, stem="imagenet")
    found = supernet(images(side=40), of_architecture(supernet.layout, architecture))
    torch.testing.assert_close(found, network(images(side=40)), rtol=0, atol=1e-6)


def test_noise_too_where_both_draw_from_one_stream(carry_over):
    supernet = small("darts_s4")
    architecture = supernet.layout.space.sample(np.random.default_rng(0))
    network = discrete_twin(supernet, architecture, carry_over)
    with drawn_from(3):
        found = supernet(images(), of_architecture(supernet.layout, architecture))
    with drawn_from(3):
        due = network(images())
    torch.testing.assert_close(found, due, rtol=0, atol=1e-6)
    with drawn_from(4):
        assert not torch.allclose(network(images()), due)


# Formulas


@pytest.mark.parametrize("space", SPACES)
def test_a_cell_is_the_weighted_sum_over_operations_and_edges_in_order(space, random_mixing):
    """Also where edges have weights of their own."""
    supernet = small(space).eval()
    cell, kind = supernet.cells[1], "reduce"
    theta = random_mixing(supernet).weights[kind]
    beta = torch.rand(14, generator=seeded(2))
    nodes = [torch.randn(2, 8, 8, 8, generator=seeded(seed)) for seed in (3, 4)]
    mixing = Mixing({kind: theta}, supernet.layout.all_alive())
    rows = edge_mixings(mixing, kind, 2)[0]
    with drawn_from(0):
        found = cell.nodes(nodes, rows, beta.unbind())
    row = 0
    with drawn_from(0):
        for target in range(2, 6):
            total = 0
            for source in range(target):
                candidates = cell.nodes.edges[row].candidates
                for column, candidate in enumerate(candidates):
                    total = total + beta[row] * theta[row, column] * candidate(nodes[source])
                row += 1
            nodes.append(total)
    assert row == 14
    for one, due in zip(found, nodes, strict=True):
        torch.testing.assert_close(one, due, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", ["darts", "darts_s1"])
def test_cells_with_equal_rows_of_their_own_compute_what_cells_that_share_them_do(space, random_mixing):
    supernet = small(space, layers=5)
    shared = random_mixing(supernet)
    n_cells = supernet.n_cells
    weights = {kind: theta.expand(n_cells[kind], -1, -1) for kind, theta in shared.weights.items()}
    due = supernet(images(), shared)
    assert torch.equal(supernet(images(), replace(shared, weights=weights)), due)
    alive = {kind: np.stack([rows] * n_cells[kind]) for kind, rows in shared.alive.items()}
    assert torch.equal(supernet(images(), replace(shared, weights=weights, alive=alive)), due)


@pytest.mark.parametrize("kind", KINDS)
def test_each_cell_is_given_its_own_weights_in_the_order_of_the_layers(kind, random_mixing, monkeypatch):
    supernet = small("darts_s2", layers=5)  # normal, reduce, normal, reduce, normal
    given = []

    def spy(cell, inputs, mixing, edge_weights):
        given.append(torch.stack([torch.stack(list(row.weights)) for row in mixing]))
        return computed(cell, inputs, mixing, edge_weights)

    computed = MixedCell.forward
    monkeypatch.setattr(MixedCell, "forward", spy)
    mixing = random_mixing(supernet, per_cell=True)
    supernet(images(), mixing)
    found = [given[layer] for layer in ((0, 2, 4) if kind == "normal" else (1, 3))]
    assert torch.equal(torch.stack(found), mixing.weights[kind])


def test_weights_for_another_number_of_cells_are_refused(random_mixing):
    mixing = random_mixing(small("darts_s2", layers=5), per_cell=True)
    with pytest.raises(ValueError, match="mixing weights for 3 cells of kind 'normal'; due are 2"):
        small("darts_s2", layers=4)(images(), mixing)


def test_edge_weights_of_1_change_nothing_and_of_0_silence_an_edge(random_mixing):
    supernet = small("darts_s2")
    mixing = random_mixing(supernet)
    ones = {kind: torch.ones(14) for kind in mixing.weights}
    assert torch.equal(supernet(images(), replace(mixing, edge_weights=ones)), supernet(images(), mixing))
    silent = replace(mixing, edge_weights=ones | {"normal": torch.ones(14).index_fill(0, torch.tensor(3), 0)})
    alive = {kind: rows.copy() for kind, rows in mixing.alive.items()}
    alive["normal"][3] = False
    torch.testing.assert_close(supernet(images(), silent), supernet(images(), replace(mixing, alive=alive)))


@pytest.mark.parametrize("per_cell", [False, True])
def test_gradients_by_mixing_and_edge_weights_are_the_finite_differences(per_cell, random_mixing):
    supernet = small("darts", channels=2).double()
    mixing = random_mixing(supernet, dtype=torch.float64, per_cell=per_cell)
    beta = {kind: torch.rand(14, generator=seeded(3), dtype=torch.float64) for kind in mixing.weights}
    x, labels = images(4, dtype=torch.float64), torch.tensor([0, 1, 2, 3])

    def loss(weights, edge_weights):
        logits = supernet(x, replace(mixing, weights=weights, edge_weights=edge_weights))
        return functional.cross_entropy(logits, labels)

    places = [mixing.weights["normal"], mixing.weights["reduce"], beta["normal"], beta["reduce"]]
    for tensor in places:
        tensor.requires_grad_()
    with untracked(supernet):
        gradients = torch.autograd.grad(loss(mixing.weights, beta), places)
        for place, gradient in enumerate(gradients):
            assert gradient.abs().max() > 1e-4
            way = torch.randn(gradient.shape, generator=seeded(place), dtype=torch.float64)
            ends = []
            for step in (1e-8, -1e-8):  # so small that no ReLU bends within it
                moved = [tensor.detach() for tensor in places]
                moved[place] = moved[place] + step * way
                theta, edge = (dict(zip(KINDS, pair, strict=True)) for pair in (moved[:2], moved[2:]))
                ends.append(loss(theta, edge))
            difference = (ends[0] - ends[1]) / 2e-8
            torch.testing.assert_close((gradient * way).sum(), difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("space", SPACES)
def test_it_computes_in_float64_as_in_float32(space, random_mixing):
    supernet = small(space).eval()
    mixing = random_mixing(supernet)
    exact = Mixing({kind: theta.double() for kind, theta in mixing.weights.items()}, mixing.alive)
    if space == "darts_s4":  # noise in another format is other noise
        alive = supernet.layout.columns_of("sep_conv_3x3")
        mixing, exact = (replace(one, alive=alive) for one in (mixing, exact))
    found = supernet(images(), mixing)
    due = supernet.double()(images().double(), exact)
    assert (found.dtype, due.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(found.double(), due, rtol=1e-3, atol=1e-4)
