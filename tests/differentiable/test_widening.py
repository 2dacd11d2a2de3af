"""Partial channels that are widened between the stages of a search (DrNAS)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raynas.differentiable.mixed_op._widening import widen
from raynas.differentiable.mixed_op.auxiliary_skip import AuxiliarySkip
from raynas.differentiable.mixed_op.partial_channels import PartialChannels, PartialEdge, widened
from raynas.spaces import get_space
from raynas.supernets.cost import count_parameters
from raynas.supernets.initialization import materialize
from raynas.supernets.mixed_edge import EdgeMixing, EdgeShape, edge_builder
from raynas.supernets.mixing import Mixing
from raynas.supernets.operations import FactorizedReduce
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

torch.set_num_threads(1)

NETWORKS = {
    "nas_bench_201": (NasBench201(channels=4, cells=1, stages=2), "nas_bench_201"),
    "darts": (Darts(channels=4, layers=3), "darts"),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def edge_of(wrappers, *, channels=8, operations=("nor_conv_3x3",)):
    with torch.device("meta"):
        edge = edge_builder(wrappers)(EdgeShape(operations, channels))
    return materialize(edge, seeded())


def alone():
    """The mixing of an edge with a single operation."""
    return EdgeMixing([torch.tensor(1.0)], [True])


def images_of(channels, side=6):
    return torch.randn(3, channels, side, side, generator=seeded(1))


def supernet_of(network, wrappers):
    skeleton, space = NETWORKS[network]
    return skeleton.supernet(
        get_space(space), in_channels=1, n_classes=3, generator=seeded(), wrappers=wrappers
    )


def mixing_of(supernet, progress=0.0):
    alive = supernet.layout.all_alive()
    weights = {kind: torch.full(rows.shape, 1 / rows.shape[1]) for kind, rows in alive.items()}
    return Mixing(weights, alive, progress=progress)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("wrappers", [[], [AuxiliarySkip()]], ids=["plain", "auxiliary inside"])
@pytest.mark.parametrize("k", [2, 1])
def test_a_widened_network_has_the_shapes_of_one_built_so(network, wrappers, k):
    narrow = supernet_of(network, [PartialChannels(k=4), *wrappers])
    before = {name: tensor.clone() for name, tensor in narrow.state_dict().items()}
    widening = widened(narrow, k, seeded(3))
    assert all(part.k == k for part in narrow.modules() if isinstance(part, PartialEdge))
    for name, tensor in narrow.state_dict().items():
        assert torch.equal(widening.like(name, before[name]), tensor), "copies of what was, and nothing else"
    for part in narrow.modules():
        if isinstance(part, nn.Conv2d):
            assert part.weight.shape[:2] == (part.out_channels, part.in_channels // part.groups)
        if isinstance(part, nn.BatchNorm2d):
            assert len(part.running_mean) == len(part.running_var) == part.num_features
    mixing = mixing_of(narrow, progress=0.5)
    narrow(images_of(1, 8), mixing).sum().backward()
    assert all(tensor.grad.shape == tensor.shape for tensor in narrow.parameters())


def test_old_channels_come_first_and_new_ones_copy_them_with_their_statistics():
    edge = edge_of([PartialChannels(k=4)], channels=16)
    _, convolution, norm = edge.edge.candidates[0]
    edge(images_of(16), alone())  # so that the running statistics tell the channels apart
    weight, mean = convolution.weight.detach().clone(), norm.running_mean.clone()
    widened(edge, 2, seeded(4))
    assert convolution.weight.shape == (8, 8, 3, 3)
    assert torch.equal(convolution.weight[:4, :4], weight)
    assert torch.equal(norm.running_mean[:4], mean)
    sources = [mean.tolist().index(value) for value in norm.running_mean.tolist()]
    assert sources[:4] == [0, 1, 2, 3]
    assert torch.equal(convolution.weight[:, :4], weight[sources])
    assert len(set(sources[4:])) > 1, "drawn, not one and the same"


@pytest.mark.parametrize("name", ["dil_conv_3x3", "sep_conv_5x5"])
@pytest.mark.parametrize("channels", [4, 16])
def test_the_kernel_of_a_channel_is_copied_with_the_channel(name, channels):
    """With 4 channels from a single one, whose convolution looks like one without groups."""
    edge = edge_of([PartialChannels(k=4)], operations=(name,), channels=channels)
    before = {key: tensor.clone() for key, tensor in edge.state_dict().items()}
    indices = widened(edge, 2, seeded(4)).indices
    written, last = None, None
    for key, tensor in before.items():
        if not key.endswith("weight"):
            continue
        out, read = indices[key]
        if tensor.shape[2] > 1:  # a depthwise convolution
            assert read is None
            assert written is None or torch.equal(out, written)
            last = out
        else:
            assert torch.equal(read, last)
            written = out
    assert edge(images_of(channels), alone()).shape == (3, channels, 6, 6)


def test_a_factorized_reduction_keeps_statistics_with_their_channels():
    reduce = materialize(FactorizedReduce(2, 3, affine=True), seeded())
    reduce(images_of(2))
    norm = reduce.norm
    even, odd = reduce.even.weight.detach().clone(), reduce.odd.weight.detach().clone()
    marks = norm.running_mean.clone()
    indices = widen(reduce, "r", 4, 2, seeded(1))
    assert (reduce.even.out_channels, reduce.odd.out_channels, norm.num_features) == (3, 3, 6)
    for place, mean in enumerate(norm.running_mean):
        source = int((marks == mean).nonzero())
        half, kernels = (even, reduce.even.weight) if place < 3 else (odd, reduce.odd.weight)
        kept = kernels[place % 3][indices["r.even.weight"][1] < 2][:2].flatten()
        assert torch.equal(kept, half[source - (0 if place < 3 else 2)].flatten())
    assert reduce(images_of(4)).shape == (3, 6, 3, 3)


def test_drnas_has_as_many_parameters_in_its_stages_as_published():
    made = Darts(channels=36, layers=20).supernet(
        get_space("darts_s5"),
        in_channels=3,
        n_classes=10,
        generator=seeded(),
        wrappers=[PartialChannels(k=6, edge_normalization=False)],
    )
    assert count_parameters(made) == 2_221_750
    widened(made, 4, seeded())
    assert count_parameters(made) == 2_986_462


def test_momentum_is_widened_as_its_parameter_is():
    """A step of SGD from copied momentum moves copies as their originals, where the gradients are alike."""
    supernet = supernet_of("nas_bench_201", [PartialChannels(k=4)])
    momentum = {name: torch.randn(tensor.shape) for name, tensor in supernet.named_parameters()}
    marked = {name: tensor.detach().clone() for name, tensor in supernet.named_parameters()}
    widening = widened(supernet, 2, seeded())
    for name, tensor in supernet.named_parameters():
        wide = widening.like(name, momentum[name])
        assert wide.shape == tensor.shape
        torch.testing.assert_close(
            widening.like(name, marked[name] + 0.1 * momentum[name]), tensor.detach() + 0.1 * wide
        )
    unchanged = "stem.0.weight"
    assert widening.like(unchanged, momentum[unchanged]) is momentum[unchanged]


def test_widening_is_reproducible_and_leaves_the_global_random_state_alone():
    state = torch.get_rng_state()
    nets = [edge_of([PartialChannels(k=4)], operations=("sep_conv_3x3", "skip_connect")) for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        widened(net, 2, seeded(seed))
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other = (net.state_dict() for net in nets)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_widened_state_is_loaded_into_a_network_widened_in_the_same_way():
    trained, fresh = (supernet_of("nas_bench_201", [PartialChannels(k=4)]) for _ in range(2))
    widened(trained, 2, seeded(0))
    widened(fresh, 2, seeded(1))
    fresh.load_state_dict(trained.state_dict())
    images, mixing = images_of(1, 8), mixing_of(trained)
    assert torch.equal(fresh.eval()(images, mixing), trained.eval()(images, mixing))


@pytest.mark.parametrize(
    ("wrappers", "k", "message"),
    [
        ([], 2, r"k: no edge has partial channels; add mixed_op: \[partial_channels\]"),
        ([PartialChannels(k=2)], 4, "k: 4 is not between 1 and the present 2"),
        ([PartialChannels(k=2)], 0, "k: 0 is not between 1 and the present 2"),
        ([PartialChannels(k=4)], 3, "k: 3 does not divide the 4 channels"),
    ],
)
def test_a_widening_that_cannot_be_is_refused(wrappers, k, message):
    supernet = supernet_of("nas_bench_201", wrappers)
    with pytest.raises(ValueError, match=message):
        widened(supernet, k, seeded())


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2, bias=False), nn.PReLU()])
def test_a_layer_without_a_rule_is_refused_rather_than_left_narrow(layer):
    with pytest.raises(TypeError, match="has no rule for more channels"):
        widen(nn.Sequential(layer), "edge", 4, 2, seeded())
