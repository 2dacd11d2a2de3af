"""The supernet of NAS-Bench-201: published count, discrete networks within it, what it leaves out."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.supernets.cost import count_parameters
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixing import Mixing, of_architecture
from raynas.supernets.nas_bench_201 import Cell, NasBench201Network
from raynas.supernets.operations import Zero
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.supernets.statistics import untracked

torch.set_num_threads(1)

SPACE = get_space("nas_bench_201")
ARCHITECTURES = [
    SPACE.parse(text)
    for text in (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|",
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    )
] + [SPACE.sample(np.random.default_rng(seed)) for seed in range(5)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0, *, stages=2, cells=1, **options):
    skeleton = NasBench201(channels=4, cells=cells, stages=stages)
    return skeleton.supernet(SPACE, in_channels=1, n_classes=5, generator=seeded(seed), **options)


def images(n=4, side=8, dtype=torch.float32):
    return torch.randn(n, 1, side, side, generator=seeded(9), dtype=dtype)


def cells(network):
    return [block for block in network.body if isinstance(block, MixedCell | Cell)]


def candidates(supernet):
    return [candidate for cell in cells(supernet) for edge in cell.edges for candidate in edge.candidates]


# What is built


def test_parameters_are_as_many_as_in_the_published_code():
    supernet = NasBench201().supernet(SPACE, in_channels=3, n_classes=10, generator=seeded())
    assert count_parameters(supernet) == 1_686_106
    assert supernet.n_cells == {"": 15}


def test_wrappers_stand_around_every_edge_the_first_outermost():
    class Named:
        def __init__(self, name, wrapped):
            self.name, self.seen = name, wrapped

        def wrapped(self, shape, build):
            self.seen.append((self.name, shape.channels))
            return build(replace(shape, channels=shape.channels // 2))

    seen = []
    supernet = small(wrappers=[Named("outer", seen), Named("inner", seen)])
    assert seen == [("outer", 4), ("inner", 2)] * 6 + [("outer", 8), ("inner", 4)] * 6
    assert [cell.edges[0].candidates[3][1].in_channels for cell in cells(supernet)] == [1, 2]


def test_equal_generators_make_equal_supernets_and_the_global_random_state_has_no_part_in_it():
    before = torch.get_rng_state()
    first = small().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        same, other = small().state_dict(), small(1).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_computes_the_same_and_is_its_own(copied, random_mixing):
    supernet = small()
    mixing = random_mixing(supernet)
    twin, due = copied(supernet), supernet(images(), mixing)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert torch.equal(twin(images(), mixing), due)


def test_a_space_of_another_kind_is_refused():
    with pytest.raises(InputError, match="search space darts: due are cells like those of NAS-Bench-201"):
        NasBench201().supernet(get_space("darts"), in_channels=3, n_classes=10, generator=seeded())


# Discrete networks


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_weights_of_one_operation_an_edge_make_it_the_discrete_network(architecture, training, carry_over):
    supernet = small(cells=2)
    for norm in supernet.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(generator=seeded(1))
    network = NasBench201Network(
        architecture, channels=4, cells=2, stages=2, in_channels=1, n_classes=5, generator=seeded(5)
    )
    for mixed, block in zip(supernet.body, network.body, strict=True):
        if isinstance(block, Cell):
            for index, mixed_edge, edge in zip(architecture.ops, mixed.edges, block.edges, strict=True):
                carry_over(mixed_edge.candidates[index], edge)
        else:
            carry_over(mixed, block)
    carry_over(supernet.stem, network.stem)
    carry_over(supernet.head, network.head)
    found = supernet.train(training)(images(), of_architecture(supernet.layout, architecture))
    torch.testing.assert_close(found, network.train(training)(images()), rtol=0, atol=1e-6)


# A function of mixing weights


def test_a_cell_is_the_weighted_sum_over_operations_and_edges_in_order(random_mixing):
    """Also where edges have weights of their own."""
    supernet = small(stages=1).double().eval()
    mixing = random_mixing(supernet, dtype=torch.float64)
    beta = torch.rand(6, generator=seeded(2), dtype=torch.float64)
    theta, cell = mixing.weights[""], supernet.body[0]

    def term(row, x):
        outputs = [candidate(x) for candidate in cell.edges[row].candidates]
        return beta[row] * sum(weight * output for weight, output in zip(theta[row], outputs, strict=True))

    node0 = supernet.stem(images(dtype=torch.float64))
    node1 = term(0, node0)
    node2 = term(1, node0) + term(2, node1)
    node3 = term(3, node0) + term(4, node1) + term(5, node2)
    found = supernet(images(dtype=torch.float64), replace(mixing, edge_weights={"": beta}))
    torch.testing.assert_close(found, supernet.head(node3))


def test_cells_with_equal_rows_of_their_own_compute_what_cells_that_share_them_do(random_mixing):
    supernet = small(cells=2)
    shared = random_mixing(supernet)
    own = {"": shared.weights[""].expand(4, -1, -1)}
    due = supernet(images(), shared)
    assert torch.equal(supernet(images(), replace(shared, weights=own)), due)
    alive = {"": np.stack([shared.alive[""]] * 4)}
    assert torch.equal(supernet(images(), replace(shared, weights=own, alive=alive)), due)
    with pytest.raises(ValueError, match="mixing weights for 4 cells of kind ''; due are 2"):
        small()(images(), replace(shared, weights=own))


@pytest.mark.parametrize("per_cell", [False, True])
def test_gradients_by_mixing_weights_are_the_finite_differences(per_cell, random_mixing):
    supernet = small().double()
    mixing = random_mixing(supernet, dtype=torch.float64, per_cell=per_cell)
    x, labels = images(dtype=torch.float64), torch.tensor([0, 1, 2, 3])

    def loss(theta):
        return functional.cross_entropy(supernet(x, replace(mixing, weights={"": theta})), labels)

    theta = mixing.weights[""].requires_grad_()
    with untracked(supernet):
        (gradient,) = torch.autograd.grad(loss(theta), theta)
        way = torch.randn(theta.shape, generator=seeded(3), dtype=torch.float64)
        with torch.no_grad():  # a step so small that no ReLU bends within it
            difference = (loss(theta + 1e-8 * way) - loss(theta - 1e-8 * way)) / 2e-8
    torch.testing.assert_close((gradient * way).sum(), difference, rtol=1e-5, atol=1e-7)
    assert (gradient[..., 0] == 0).all(), "none adds nothing"


# What is left out


def test_of_operations_that_are_not_alive_nothing_is_computed_and_nothing_of_none(counted, random_mixing):
    supernet = small()
    for cell in cells(supernet):
        cell._fusible = False  # one by one, so that calls can be counted
    calls = counted(candidates(supernet))
    supernet(images(), random_mixing(supernet))
    assert all(calls[one] == (not isinstance(one, Zero)) for one in candidates(supernet))
    for architecture in ARCHITECTURES:
        calls.clear()
        supernet(images(), of_architecture(supernet.layout, architecture))
        for cell in cells(supernet):
            for index, edge in zip(architecture.ops, cell.edges, strict=True):
                due = [column == index and index != 0 for column in range(5)]
                assert [calls[candidate] for candidate in edge.candidates] == due


def test_the_columns_of_the_dead_may_hold_anything(random_mixing):
    supernet = small()
    mixing = random_mixing(supernet)
    alive = {"": mixing.alive[""].copy()}
    alive[""][:, [1, 3]] = False
    due = supernet(images(), replace(mixing, alive=alive))
    weights = {"": mixing.weights[""].clone()}
    weights[""][:, [1, 3]] = torch.nan
    assert torch.equal(supernet(images(), Mixing(weights, alive)), due)


def test_dead_operations_as_numbers_add_their_weights(random_mixing):
    """In GDAS they are 0 and change nothing, but a gradient reaches them: the sum over the edge's output."""
    supernet = small(stages=1).double()
    architecture = ARCHITECTURES[0]
    mixing = of_architecture(supernet.layout, architecture)
    theta = mixing.weights[""].double().requires_grad_()
    numbers = Mixing({"": theta}, mixing.alive, dead_as_numbers=True)
    x = images(dtype=torch.float64)
    with untracked(supernet):
        found, due = supernet(x, numbers), supernet(x, replace(numbers, dead_as_numbers=False))
        assert torch.equal(found, due)
        (gradient,) = torch.autograd.grad(found.square().sum(), theta)
        of_dead = gradient[~torch.tensor(mixing.alive[""])].view(6, 4)
        assert torch.equal(of_dead, of_dead[:, :1].expand(-1, 4)), "each adds to the same output"
        assert (of_dead != 0).all()
        with torch.no_grad():
            moved = theta.detach().clone()
            moved[5, 0] = 0.3
            cell, nodes = supernet.body[0], []
            hook = cell.register_forward_hook(lambda cell, inputs, output: nodes.append(output[-1]))
            supernet(x, numbers)
            supernet(x, replace(numbers, weights={"": moved}))
            hook.remove()
    torch.testing.assert_close(nodes[1], nodes[0] + 0.3)


def test_dead_as_numbers_where_nothing_lives_is_the_sum_of_the_numbers():
    supernet = small(stages=1)
    alive = {"": np.zeros((6, 5), bool)}
    theta = torch.arange(30.0).view(6, 5)
    outputs = []
    supernet.body[0].register_forward_hook(lambda cell, inputs, output: outputs.append(output[-1]))
    supernet(images(), Mixing({"": theta}, alive, dead_as_numbers=True))
    torch.testing.assert_close(outputs[0], torch.full((4, 4, 8, 8), theta[3:].sum().item()))


# Running statistics


def test_untracked_passes_leave_running_statistics_alone_and_compute_the_same(random_mixing):
    supernet = small().train()
    mixing = random_mixing(supernet)
    supernet(images(8), mixing)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    with untracked(supernet):
        found = supernet(images(), mixing)
    after = supernet.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(supernet(images(), mixing), found), "they normalise by their own batch as ever"
    name = "stem.1.running_mean"
    assert not torch.equal(supernet.state_dict()[name], before[name]), "and passes outside are tracked again"


def test_untracked_leaves_evaluation_as_it_is_and_ends_with_an_error(random_mixing):
    supernet = small()
    mixing = random_mixing(supernet)
    supernet(images(8), mixing)
    supernet.eval()
    due = supernet(images(), mixing)
    with pytest.raises(KeyError), untracked(supernet):
        assert torch.equal(supernet(images(), mixing), due)
        raise KeyError
    assert all(part.track_running_stats for part in supernet.modules() if isinstance(part, nn.BatchNorm2d))
