"""The discrete network of the DARTS space: published counts, drop path, the auxiliary tower."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.supernets.cost import count_flops, count_parameters
from raynas.supernets.darts import DartsNetwork
from raynas.supernets.darts_frame import AuxiliaryTower
from raynas.supernets.draws import drawn_from
from raynas.supernets.initialization import materialize
from raynas.supernets.operations import FactorizedReduce

torch.set_num_threads(1)

SPACE = get_space("darts")
DARTS_V1 = SPACE.parse(
    """Genotype(
    normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1),
            ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)],
    normal_concat=[2, 3, 4, 5],
    reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0),
            ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)],
    reduce_concat=[2, 3, 4, 5])"""
)
DARTS_V2 = SPACE.parse(
    """Genotype(
    normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1),
            ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)],
    normal_concat=[2, 3, 4, 5],
    reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1),
            ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)],
    reduce_concat=[2, 3, 4, 5])"""
)


def uniform(name):
    pairs = [(name, source) for _ in range(4) for source in (0, 1)]
    return SPACE.parse(f"Genotype(normal={pairs}, reduce={pairs})")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(architecture=DARTS_V2, seed=0, **options):
    return DartsNetwork(
        architecture,
        **{"channels": 4, "layers": 3, "in_channels": 1, "n_classes": 5, "generator": seeded(seed)} | options,
    )


def images(n=4, side=8):
    return torch.randn(n, 1, side, side, generator=seeded(9))


# Cost


@pytest.mark.parametrize(
    ("architecture", "auxiliary", "n_parameters"),
    [(DARTS_V1, False, 3_169_414), (DARTS_V2, False, 3_349_342), (DARTS_V2, True, 3_825_768)],
)
def test_parameters_are_as_many_as_published_for_cifar(architecture, auxiliary, n_parameters):
    network = DartsNetwork(architecture, auxiliary=auxiliary, generator=seeded())
    assert count_parameters(network) == n_parameters


@pytest.mark.parametrize(("architecture", "n_parameters"), [(DARTS_V1, 4_510_432), (DARTS_V2, 4_718_752)])
def test_parameters_are_as_many_as_published_for_imagenet(architecture, n_parameters):
    network = DartsNetwork(
        architecture, channels=48, layers=14, stem="imagenet", n_classes=1000, generator=seeded()
    )
    assert count_parameters(network) == n_parameters


def test_multiply_adds_are_those_worked_out_by_hand():
    """Separable convolutions on both inputs, in cells of 8x8, 4x4, 2x2 pixels and 4, 8, 16 channels."""
    stem = 9 * 1 * 12 * 64
    # The first input of the last cell, from before a reduction, is halved on its way in from 8x8 to 4x4.
    inputs = (12 + 12) * 4 * 64 + (12 + 16) * 8 * 64 + (16 + 32) * 16 * 16
    edges = 8 * 2 * ((9 + 4) * 4 * 64 + (9 + 8) * 8 * 16 + (9 + 16) * 16 * 4)
    due = stem + inputs + edges + 64 * 5
    assert count_flops(small(uniform("sep_conv_3x3")), (1, 8, 8)) == due


# The cells


def test_a_cell_lines_up_its_nodes_which_sum_two_operations_each():
    network = small(DARTS_V2).eval()
    cell = network.cells[0]
    first, second = (torch.randn(2, 12, 6, 6, generator=seeded(seed)) for seed in (1, 2))
    n0, n1 = cell.inputs(first, second)
    edge = iter(cell.edges)  # in the space's order: by target, then by source
    n2 = next(edge)(n0) + next(edge)(n1)
    n3 = next(edge)(n0) + next(edge)(n1)
    skip, separable = next(edge), next(edge)
    n4 = skip(n0) + separable(n1)
    skip, dilated = next(edge), next(edge)
    n5 = skip(n0) + dilated(n2)
    torch.testing.assert_close(cell(first, second, 0.0), torch.cat([n2, n3, n4, n5], 1))
    assert next(edge, None) is None


@pytest.mark.parametrize("side", [7, 8, 9, 15, 16, 31, 32, 45])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_images_of_any_size_pass(stem, side):
    network = small(uniform("dil_conv_5x5"), stem=stem, auxiliary=True, layers=4)
    logits, auxiliary = network.with_auxiliary(images(side=side))
    assert logits.shape == auxiliary.shape == (4, 5)


def test_equal_generators_make_equal_networks_and_the_global_random_state_has_no_part_in_it():
    before = torch.get_rng_state()
    first = small().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        same, other = small().state_dict(), small(seed=1).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["stem.convolution.weight"], other["stem.convolution.weight"])


def test_a_space_of_another_kind_and_too_few_layers_are_refused():
    architecture = get_space("nas_bench_201").sample(np.random.default_rng(0))
    with pytest.raises(InputError, match="search space nas_bench_201: due are cells like those of DARTS"):
        small(architecture)
    with pytest.raises(ValueError, match="layers: 2 is below 3"):
        small(layers=2)
    with pytest.raises(InputError, match="1 channel for the stem of ImageNet"):
        small(stem="imagenet", channels=1)


# Drop path


def test_drop_path_spares_identities_and_evaluation():
    skips = small(uniform("skip_connect"))
    normal, reduction = skips.cells[0], skips.cells[1]
    pair = [torch.randn(64, 12, 6, 6, generator=seeded(seed)) for seed in (1, 2)]
    assert torch.equal(normal(*pair, 0.9), normal(*pair, 0.0))
    later = (pair[0], torch.randn(64, 16, 6, 6, generator=seeded(3)))
    assert all(isinstance(edge, FactorizedReduce) for edge in reduction.edges)
    with drawn_from(0):
        dropped = reduction(*later, 0.9)
    whole = reduction(*later, 0.0)
    nodes = dropped[:, :8].flatten(1)
    n_zero = int((nodes == 0).all(1).sum())
    assert 40 <= n_zero <= 62, "both inputs of a node are dropped from an image with probability 0.81"
    assert not torch.equal(dropped, whole)
    network = small().eval()
    assert torch.equal(network(images(), drop_path=0.9), network(images()))


def test_drop_path_keeps_the_expectation_of_an_operations_output():
    cell = small(uniform("max_pool_3x3")).cells[0]
    pair = [torch.randn(1, 12, 4, 4, generator=seeded(seed)).expand(8000, -1, -1, -1) for seed in (1, 2)]
    cell.inputs.eval()
    with drawn_from(0), torch.no_grad():
        found, whole = cell(*pair, 0.25), cell(*pair, 0.0)[0]
    # one draw an image and edge, so the spread of a node's sum is at most that of its two outputs together
    inputs = [edge(node[:1]) for edge, node in zip(cell.edges, cell.inputs(*pair), strict=False)]
    variance = (0.25 / 0.75) * sum(each.square()[0] for each in inputs)
    error = (found.mean(0)[:4] - whole[:4]).abs() / (variance / len(pair[0])).sqrt().clamp_min(1e-12)
    assert error.max() < 5


def test_drop_path_draws_from_the_callers_stream():
    network = small().train()
    found = []
    for seed in (1, 1, 2):
        with drawn_from(seed):
            found.append(network(images(), drop_path=0.5))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


# The auxiliary tower


def test_auxiliary_logits_come_in_training_alone():
    network = small(auxiliary=True)
    logits, auxiliary = network.with_auxiliary(images())
    assert auxiliary.shape == logits.shape
    assert torch.equal(network(images()), logits)
    logits, auxiliary = network.eval().with_auxiliary(images())
    assert auxiliary is None
    assert torch.equal(network(images()), logits)
    assert small().with_auxiliary(images())[1] is None


@pytest.mark.parametrize(("layers", "reduction"), [(3, 2), (6, 4), (8, 5), (14, 9), (20, 13)])
def test_the_tower_reads_the_second_reduction(layers, reduction):
    network = small(auxiliary=True, layers=layers, channels=2)
    network.with_auxiliary(images())[1].sum().backward()
    taught = [cell.inputs.second[1].weight.grad is not None for cell in network.cells]
    assert taught == [layer <= reduction for layer in range(layers)]


def test_the_tower_is_not_computed_for_plain_logits(counted):
    network = small(auxiliary=True)
    calls = counted([network.auxiliary])
    network(images())
    assert not calls
    network.with_auxiliary(images())
    assert calls[network.auxiliary] == 1


def test_the_tower_changes_no_other_weights():
    plain, towered = small().state_dict(), small(auxiliary=True).state_dict()
    assert all(torch.equal(tensor, towered[name]) for name, tensor in plain.items())


def tower(*, last_norm):
    with torch.device("meta"):
        module = AuxiliaryTower(6, 5, last_norm=last_norm)
    return materialize(module, seeded()).eval()


@pytest.mark.parametrize(("side", "stride", "last_norm"), [(8, 3, True), (7, 2, False)])
def test_the_tower_is_that_of_darts_at_its_sizes(side, stride, last_norm):
    module, x = tower(last_norm=last_norm), torch.randn(4, 6, side, side, generator=seeded(1))
    layers = iter(module.features)
    due = next(layers)(functional.avg_pool2d(x.relu(), 5, stride=stride))
    due = next(layers)(due).relu()
    next(layers)  # the ReLU
    due = next(layers)(due)
    if last_norm:
        due = next(layers)(due)
    assert due.shape == (4, 768, 1, 1)
    torch.testing.assert_close(module(x), module.classifier(due.relu().flatten(1)))
    n_norms = sum(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())
    assert n_norms == 1 + last_norm


@pytest.mark.parametrize("side", [(1, 1), (2, 2), (3, 7), (5, 5), (6, 10), (12, 12)])
def test_the_tower_takes_maps_of_other_sizes(side):
    assert tower(last_norm=True)(torch.zeros(2, 6, *side)).shape == (2, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_and_gradients_come_in_the_format_of_the_weights(dtype):
    network = small(DARTS_V1, auxiliary=True).to(dtype)
    with drawn_from(0):
        logits, auxiliary = network.with_auxiliary(images().to(dtype), drop_path=0.2)
    assert logits.dtype == auxiliary.dtype == dtype
    (logits.square().mean() + 0.4 * auxiliary.square().mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
