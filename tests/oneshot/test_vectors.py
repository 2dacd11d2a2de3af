"""The vectors whose angle is taken: how long they are, and how often each weight stands in them."""

from __future__ import annotations

import copy
import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from raynas.differentiable.mixed_op.partial_channels import PartialChannels
from raynas.errors import InputError
from raynas.flatness.metric.angle import angle
from raynas.flatness.vector import Constant, products, strung
from raynas.oneshot.vectors import Vectors, edge_uses
from raynas.spaces import get_space
from raynas.spaces.architecture import ABSENT
from raynas.spaces.site import Edge
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

NONE, SKIP, CONV_1, CONV_3, POOL = range(5)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@cache
def nas_bench_201_supernet():
    """Of the benchmark's own size."""
    return NasBench201().supernet(get_space("nas_bench_201"), in_channels=3, n_classes=10, generator=seeded())


def cells(ops):
    """The vector of a NAS-Bench-201 cell, and the supernet's weights."""
    supernet = nas_bench_201_supernet()
    vector = Vectors(supernet).of(get_space("nas_bench_201").architecture(ops))
    return vector, dict(supernet.named_parameters())


@cache
def darts_supernet(space="darts", **options):
    shape = {"channels": 4, "layers": 4} | options
    return Darts(**shape).supernet(get_space(space), in_channels=3, n_classes=10, generator=seeded())


def genotype(space, op, *, reduce_op=None):
    """The architecture that has an operation on two edges a node: from the two nodes before."""
    ops = []
    for edge in space.edges:
        name = op if edge.cell == "normal" or reduce_op is None else reduce_op
        ops.append(space.operations.index(name) if edge.source >= edge.target - 2 else ABSENT)
    return space.architecture(ops)


def paths(edges, living, *, n_inputs, ends):
    """Every path from an input to an end, as positions of its edges, one by one."""
    outgoing = {}
    for position, edge in enumerate(edges):
        if living[position]:
            outgoing.setdefault(edge.source, []).append((position, edge.target))
    found, under_way = [], [((), node) for node in range(n_inputs)]
    while under_way:
        path, node = under_way.pop()
        if path and node in ends:
            found.append(path)
        under_way += [((*path, position), target) for position, target in outgoing.get(node, [])]
    return found


# Uses of the edges


def complete(n_nodes, n_inputs):
    return [Edge("", t, s, (0,), (0,)) for t in range(n_inputs, n_nodes) for s in range(t)]


def test_in_nas_bench_201_four_paths_use_the_edges_eight_times():
    edges = complete(4, 1)
    uses = edge_uses(edges, [True] * 6, n_inputs=1, every_node_ends=False)
    assert {(e.source, e.target): n for e, n in zip(edges, uses, strict=True)} == {
        (0, 1): 2,
        (0, 2): 1,
        (1, 2): 1,
        (0, 3): 1,
        (1, 3): 1,
        (2, 3): 2,
    }
    assert len(paths(edges, [True] * 6, n_inputs=1, ends={3})) == 4


def test_in_darts_thirty_paths_use_the_edges():
    edges = complete(6, 2)
    uses = edge_uses(edges, [True] * 14, n_inputs=2, every_node_ends=True)
    by_ends = {(e.source, e.target): n for e, n in zip(edges, uses, strict=True)}
    for source in (0, 1):
        assert [by_ends[source, target] for target in (2, 3, 4, 5)] == [8, 4, 2, 1]
    rest = {ends: n for ends, n in by_ends.items() if ends[0] > 1}
    assert rest == {(2, 3): 8, (2, 4): 4, (2, 5): 2, (3, 4): 8, (3, 5): 4, (4, 5): 8}
    assert sum(uses) == 64
    assert len(paths(edges, [True] * 14, n_inputs=2, ends={2, 3, 4, 5})) == 30


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("n_nodes", "n_inputs", "every_node_ends"), [(4, 1, False), (5, 1, False), (6, 2, True)]
)
def test_an_edge_is_used_once_for_each_living_path_through_it(seed, n_nodes, n_inputs, every_node_ends):
    edges = complete(n_nodes, n_inputs)
    living = (np.random.default_rng(seed).random(len(edges)) < 0.6).tolist()
    ends = set(range(n_inputs, n_nodes)) if every_node_ends else {n_nodes - 1}
    due = [0] * len(edges)
    for path in paths(edges, living, n_inputs=n_inputs, ends=ends):
        for position in path:
            due[position] += 1
    assert edge_uses(edges, living, n_inputs=n_inputs, every_node_ends=every_node_ends) == due


# NAS-Bench-201


FIXED = (
    27 * 16 + 2 * 16  # stem, its batch norm
    + sum(9 * c * 2 * c + 9 * (2 * c) ** 2 + 4 * 2 * c + c * 2 * c for c in (16, 32))  # reduction blocks
    + 2 * 64 + 64 * 10 + 10  # last batch norm, classifier with its biases
)  # fmt: skip


@pytest.mark.parametrize(
    ("op", "of_an_edge"),
    [(SKIP, lambda c: 0), (CONV_1, lambda c: c * c), (CONV_3, lambda c: 9 * c * c), (POOL, lambda c: 9 * c)],
)
def test_a_cell_of_one_operation_stands_eight_times_in_each_of_fifteen_cells(op, of_an_edge):
    vector, weights = cells([op] * 6)
    due = FIXED + sum(5 * 8 * of_an_edge(channels) for channels in (16, 32, 64))
    assert len(strung(vector, weights)) == due


def test_pools_are_ninths():
    vector, _ = cells([POOL] * 6)
    assert vector.constants == {Constant(1 / 9, 9 * channels): 5 * 8 for channels in (16, 32, 64)}


@pytest.mark.parametrize(
    "ops",
    [
        [NONE] * 6,
        [CONV_3, CONV_3, CONV_3, NONE, NONE, NONE],  # nothing reaches the output
        [NONE, NONE, CONV_3, NONE, CONV_3, CONV_3],  # nothing leaves the input
        [CONV_3, NONE, NONE, NONE, NONE, CONV_3],
    ],
)
def test_a_cell_without_a_living_path_has_an_empty_vector_and_the_angle_0(ops):
    vector, weights = cells(ops)
    assert not vector.times
    assert not vector.constants
    assert angle(vector, products(weights, weights)) == 0


def test_edges_on_no_living_path_do_not_count():
    vector, weights = cells([CONV_3, NONE, NONE, SKIP, NONE, CONV_1])  # 0-1 and 2-3 lead nowhere
    assert len(strung(vector, weights)) == FIXED
    vector, weights = cells([CONV_3, NONE, CONV_1, NONE, NONE, CONV_1])  # 0-1-2-3
    assert len(strung(vector, weights)) == FIXED + sum(5 * 11 * c * c for c in (16, 32, 64))


def test_the_fixed_part_is_every_weight_outside_the_cells_once():
    vector, weights = cells([SKIP] * 6)
    assert vector.times == {name: 1 for name in weights if ".edges." not in name}


# DARTS


def fixed_of_darts(supernet):
    """Numbers outside the edges, without the classifier's biases."""
    outside = {n: p.numel() for n, p in supernet.named_parameters() if ".edges." not in n}
    return sum(outside.values()) - 10


def widths(supernet):
    """Kind and channels of every cell."""
    return [(cell.nodes.kind, cell.nodes.channels) for cell in supernet.cells]


def uses_of_genotype():
    """How often the edges of ``genotype`` are used: those from inputs, and those from other nodes."""
    edges = [Edge("", t, s, (0,), (0,)) for t in range(2, 6) for s in (t - 2, t - 1)]
    counts = edge_uses(edges, [True] * 8, n_inputs=2, every_node_ends=True)
    found = {(e.source, e.target): n for e, n in zip(edges, counts, strict=True)}
    from_inputs = {ends: n for ends, n in found.items() if ends[0] < 2}
    # ways on from 5, 4, 3, 2: 1, 1 + 1, 1 + 2 + 1, 1 + 4 + 2
    assert from_inputs == {(0, 2): 7, (1, 2): 7, (1, 3): 4}
    return sum(from_inputs.values()), sum(found.values()) - sum(from_inputs.values())


@pytest.mark.parametrize(
    ("op", "of_an_edge"),
    [
        ("sep_conv_3x3", lambda c: 2 * (9 * c + c * c)),
        ("sep_conv_5x5", lambda c: 2 * (25 * c + c * c)),
        ("dil_conv_3x3", lambda c: 9 * c + c * c),
        ("dil_conv_5x5", lambda c: 25 * c + c * c),
        ("max_pool_3x3", lambda c: 9 * c),
        ("avg_pool_3x3", lambda c: 9 * c),
        (
            "skip_connect",
            lambda c: c * c,
        ),  # the identity's matrix, or at stride 2 two convolutions of half the width
    ],
)
def test_each_operation_of_darts_brings_its_numbers_on_every_path(op, of_an_edge):
    supernet = darts_supernet()
    vector = Vectors(supernet).of(genotype(get_space("darts"), op))
    n_uses = sum(uses_of_genotype())
    due = fixed_of_darts(supernet) + sum(n_uses * of_an_edge(channels) for _, channels in widths(supernet))
    assert len(strung(vector, dict(supernet.named_parameters()))) == due


def test_a_skip_brings_an_identity_where_it_is_one_and_its_convolutions_where_it_halves_the_image():
    supernet = darts_supernet()
    vector = Vectors(supernet).of(genotype(get_space("darts"), "skip_connect"))
    strided, other = uses_of_genotype()
    due = {}
    for kind, channels in widths(supernet):
        matrix = Constant(1.0, channels, zeros=channels * (channels - 1))
        due[matrix] = due.get(matrix, 0) + (other if kind == "reduce" else strided + other)
    assert vector.constants == due
    reducing = [name for name in vector.times if ".edges." in name]
    assert reducing
    assert all(name.endswith(("even.weight", "odd.weight")) for name in reducing)
    assert {name.split(".")[1] for name in reducing} == {
        str(at) for at, (kind, _) in enumerate(widths(supernet)) if kind == "reduce"
    }


def test_normal_and_reduction_cells_have_each_their_own_operations():
    supernet = darts_supernet()
    vector = Vectors(supernet).of(genotype(get_space("darts"), "dil_conv_3x3", reduce_op="max_pool_3x3"))
    pooled = [channels for kind, channels in widths(supernet) if kind == "reduce"]
    assert {constant.count for constant in vector.constants} == {9 * channels for channels in pooled}
    in_edges = {name.split(".")[1] for name in vector.times if ".edges." in name}
    assert in_edges == {str(at) for at, (kind, _) in enumerate(widths(supernet)) if kind == "normal"}


def test_in_darts_the_classifiers_biases_do_not_count_and_the_rest_outside_the_edges_does():
    supernet = darts_supernet()
    times = Vectors(supernet).of(genotype(get_space("darts"), "avg_pool_3x3")).times
    outside = {name for name, _ in supernet.named_parameters() if ".edges." not in name}
    assert outside - times.keys() == {"head.2.bias"}
    assert isinstance(supernet.get_submodule("head.2"), nn.Linear)


def test_weights_of_batch_norms_count_where_a_supernet_has_them():
    supernet = copy.deepcopy(darts_supernet())
    for norm in [part for part in supernet.cells.modules() if isinstance(part, nn.BatchNorm2d)]:
        norm.weight, norm.bias = (nn.Parameter(torch.ones(norm.num_features)) for _ in range(2))
    vector = Vectors(supernet).of(genotype(get_space("darts"), "dil_conv_3x3"))
    n_uses = sum(uses_of_genotype())
    due = fixed_of_darts(supernet) + sum(n_uses * (11 * c + c * c) for _, c in widths(supernet))
    assert len(strung(vector, dict(supernet.named_parameters()))) == due, "scale and shift once each"


def test_an_operation_without_weights_or_constants_is_alive_all_the_same():
    space = get_space("darts_s4")
    supernet = darts_supernet("darts_s4")
    vector = Vectors(supernet).of(genotype(space, "noise"))
    assert len(strung(vector, dict(supernet.named_parameters()))) == fixed_of_darts(supernet)


# Both


@pytest.mark.parametrize("space", ["nas_bench_201", "darts", "darts_s1", "darts_s2"])
def test_the_angle_is_that_of_the_vectors_themselves(space):
    skeleton = NasBench201(channels=4, cells=1) if space == "nas_bench_201" else Darts(channels=4, layers=3)
    supernet = skeleton.supernet(get_space(space), in_channels=3, n_classes=10, generator=seeded())
    before = {name: weight.detach() for name, weight in supernet.named_parameters()}
    generator = seeded(1)
    after = {
        name: weight + 0.1 * torch.randn(weight.shape, generator=generator) for name, weight in before.items()
    }
    vectors, table = Vectors(supernet), products(before, after)
    angles = []
    for seed in range(4):
        vector = vectors.of(get_space(space).sample(np.random.default_rng(seed)))
        one, other = (strung(vector, weights).double() for weights in (before, after))
        angles.append(angle(vector, table))
        assert angles[-1] == pytest.approx(math.acos(one @ other / (one.norm() * other.norm())))
    assert all(one != other for one, other in pairwise(angles))


def test_an_edge_inside_a_wrapper_is_refused():
    supernet = Darts(channels=4, layers=3).supernet(
        get_space("darts"), in_channels=3, n_classes=10, generator=seeded(), wrappers=[PartialChannels(k=2)]
    )
    with pytest.raises(InputError, match=r"cells\.0\.nodes\.edges\.0 is a .*without wrappers"):
        Vectors(supernet)
