"""What wraps a supernet's edges: partial channels (PC-DARTS, DrNAS) and the auxiliary skip (DARTS-)."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from raynas.config.building import Builder
from raynas.differentiable.mixed_op.auxiliary_skip import AuxiliaryEdge, AuxiliarySkip, IdentityConvolution
from raynas.differentiable.mixed_op.partial_channels import (
    PartialChannels,
    shuffled,
)
from raynas.differentiable.schedule import Cosine, Linear, Progress, Ramp
from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.supernets.cost import count_parameters
from raynas.supernets.initialization import materialize
from raynas.supernets.mixed_edge import EdgeMixing, EdgeShape, MixedEdge, edge_builder
from raynas.supernets.mixing import Mixing
from raynas.supernets.operations import FactorizedReduce, operation
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

torch.set_num_threads(1)

OPERATIONS = ("none", "skip_connect", "nor_conv_3x3", "avg_pool_3x3")
ORDERS = {
    "partial": [PartialChannels(k=2)],
    "auxiliary": [AuxiliarySkip()],
    "partial around auxiliary": [PartialChannels(k=2), AuxiliarySkip()],
    "auxiliary around partial": [AuxiliarySkip(), PartialChannels(k=2)],
    "learned auxiliary": [AuxiliarySkip(operation="conv_1x1")],
}
NETWORKS = {
    "nas_bench_201": (NasBench201(channels=4, cells=1, stages=2), "nas_bench_201"),
    "darts": (Darts(channels=4, layers=3), "darts"),
}

every_order = pytest.mark.parametrize("wrappers", ORDERS.values(), ids=ORDERS)
every_network = pytest.mark.parametrize("network", NETWORKS)
both_strides = pytest.mark.parametrize("stride", [1, 2])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def edge_of(wrappers, *, channels=8, stride=1, operations=OPERATIONS):
    with torch.device("meta"):
        edge = edge_builder(wrappers)(EdgeShape(operations, channels, stride))
    return materialize(edge, seeded())


def mixed_by(*weights, alive=None, progress=0.0, dtype=torch.float32):
    numbers = [torch.tensor(weight, dtype=dtype) for weight in weights]
    return EdgeMixing(numbers, alive or [True] * len(weights), progress)


def images_of(channels=8, side=6, seed=1, dtype=torch.float32):
    return torch.randn(3, channels, side, side, generator=seeded(seed), dtype=torch.float64).to(dtype)


def supernet_of(network, wrappers=()):
    skeleton, space = NETWORKS[network]
    return skeleton.supernet(
        get_space(space), in_channels=1, n_classes=3, generator=seeded(), wrappers=wrappers
    )


def mixing_of(supernet, **options):
    alive = supernet.layout.all_alive()
    generator = seeded(2)
    weights = {
        kind: torch.randn(rows.shape, generator=generator).softmax(-1).requires_grad_()
        for kind, rows in alive.items()
    }
    return Mixing(weights, alive, **options)


# Both


@every_network
@pytest.mark.parametrize("kind", [PartialChannels, AuxiliarySkip])
def test_the_neutral_wrapper_makes_the_very_same_network(network, kind):
    plain, wrapped = supernet_of(network), supernet_of(network, [kind(**kind.neutral)])
    states = plain.state_dict(), wrapped.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    images = images_of(1, 8)
    mixing = mixing_of(plain)
    assert torch.equal(plain(images, mixing), wrapped(images, mixing))


@every_network
@every_order
def test_a_wrapped_network_learns_by_all_its_weights(network, wrappers):
    supernet = supernet_of(network, wrappers)
    mixing = mixing_of(supernet, progress=0.5)
    supernet(images_of(1, 8), mixing).square().sum().backward()
    assert all(tensor.grad is not None for tensor in supernet.parameters())
    for kind, rows in supernet.layout.columns_of("none").items():
        gradient = mixing.weights[kind].grad
        assert (gradient[torch.as_tensor(rows)] == 0).all()
        assert (gradient[torch.as_tensor(~rows)] != 0).any()


@every_network
@every_order
def test_images_of_odd_size_pass(network, wrappers):
    supernet = supernet_of(network, wrappers)
    assert supernet(images_of(1, 5), mixing_of(supernet)).shape == (3, 3)


@every_order
def test_a_wrapped_edge_is_pickled(wrappers):
    edge, mixing = edge_of(wrappers).eval(), mixed_by(0.1, 0.2, 0.3, 0.4)
    assert torch.equal(pickle.loads(pickle.dumps(edge))(images_of(), mixing), edge(images_of(), mixing))


@every_order
@both_strides
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_edge_keeps_its_shape_and_its_input(wrappers, stride, dtype):
    edge, x = edge_of(wrappers, stride=stride).to(dtype), images_of(dtype=dtype)
    before = x.clone()
    made = edge(x, mixed_by(0.1, 0.2, 0.3, 0.4, dtype=dtype))
    assert made.shape == (3, 8, 6 // stride, 6 // stride)
    assert made.dtype == dtype
    assert torch.equal(x, before)


@every_order
@both_strides
def test_an_edge_of_which_no_operation_is_left_gives_nothing(wrappers, stride):
    """Nor do the channels that go past the operations, nor the auxiliary skip."""
    assert edge_of(wrappers, stride=stride)(images_of(), mixed_by(*[0.0] * 4, alive=[False] * 4)) is None


@pytest.mark.parametrize("made", [PartialChannels(), AuxiliarySkip(), AuxiliarySkip(Cosine((1.0, 0.0)))])
def test_hyperparameters_are_a_value(made):
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(replace(made))


# Partial channels


def test_the_shuffle_takes_groups_in_turn():
    x = torch.arange(8.0).view(1, 8, 1, 1)
    assert shuffled(x, 4).flatten().tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert torch.equal(shuffled(x, 1), x)
    x = images_of(12).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(shuffled(x, 3), functional.channel_shuffle(x, 3))


@both_strides
def test_operations_see_the_first_channels_and_the_others_go_past(stride):
    edge, x = edge_of([PartialChannels(k=4)], stride=stride).eval(), images_of()
    assert isinstance(edge.edge, MixedEdge)
    mixing = mixed_by(0.1, 0.2, 0.3, 0.4)
    mixed = edge.edge(x[:, :2], mixing)
    others = x[:, 2:] if stride == 1 else functional.max_pool2d(x[:, 2:], 2)
    due = torch.cat([mixed, others], 1)[:, [0, 2, 4, 6, 1, 3, 5, 7]]
    assert torch.equal(edge(x, mixing), due)


def test_where_only_none_is_left_the_others_still_go_past():
    edge, x = edge_of([PartialChannels(k=4)]), images_of()
    made = edge(x, mixed_by(1.0, 0.0, 0.0, 0.0, alive=[True, False, False, False]))
    assert torch.equal(
        made, torch.cat([torch.zeros_like(x[:, :2]), x[:, 2:]], 1)[:, [0, 2, 4, 6, 1, 3, 5, 7]]
    )


def test_the_supernet_of_pc_darts_has_as_many_parameters_as_published():
    made = Darts().supernet(
        get_space("darts"), in_channels=3, n_classes=10, generator=seeded(), wrappers=[PartialChannels()]
    )
    assert count_parameters(made) == 299_578


@pytest.mark.parametrize(("channels", "usable"), [(6, "1, 2, 3, 6"), (18, "1, 2, 3, 6, 9, 18"), (3, "1, 3")])
def test_widths_that_k_does_not_divide_are_refused(channels, usable):
    [(field, message)] = PartialChannels().width_problems(channels)
    assert field == "k"
    assert message == (
        f"4 does not divide the {channels} channels of a cell; use one of {usable}, or other channels"
    )
    with pytest.raises(InputError, match=f"partial_channels: k: 4 does not divide the {channels}"):
        edge_of([PartialChannels()], channels=channels)
    assert not list(PartialChannels(k=4).width_problems(16))


def test_edge_normalization_is_for_the_loop_to_see():
    assert PartialChannels().edge_normalization
    assert not PartialChannels(**PartialChannels.neutral).edge_normalization


def test_weights_of_edges_multiply_what_goes_past_as_well():
    supernet = supernet_of("nas_bench_201", [PartialChannels(k=2)])
    mixing = mixing_of(supernet)
    images = images_of(1, 8)
    plain = supernet(images, mixing)
    ones = replace(mixing, edge_weights={"": torch.ones(6)})
    assert torch.equal(supernet(images, ones), plain)
    zeros = replace(mixing, edge_weights={"": torch.zeros(6)})
    black = supernet(images, zeros)
    torch.testing.assert_close(black, black[:1].expand_as(black))


def test_k_below_1_is_refused():
    with pytest.raises(ValueError, match="k: 0 is below 1"):
        PartialChannels(k=0)


# The auxiliary skip


@pytest.mark.parametrize("weight", [Linear((1.0, 0.0)), Cosine((1.0, 0.0)), 0.5])
def test_the_skip_is_added_by_its_weight(weight):
    edge, x = edge_of([AuxiliarySkip(weight)]).eval(), images_of()
    for epoch in (0, 10, 49):
        progress = Progress(epoch, 50)
        mixing = mixed_by(0.1, 0.2, 0.3, 0.4, progress=progress.fraction)
        by = weight if isinstance(weight, float) else weight.at(progress)
        torch.testing.assert_close(edge(x, mixing), edge.edge(x, mixing) + by * x)


def test_its_weight_falls_linearly_from_1():
    """1.0 in the first of 50 epochs and 0.02 in the last; nothing while selections are tuned."""
    edge, x = edge_of([AuxiliarySkip()], operations=("none",)), images_of()
    for epoch, by in [(0, 1.0), (25, 0.5), (49, 0.02)]:
        torch.testing.assert_close(edge(x, mixed_by(1.0, progress=Progress(epoch, 50).fraction)), by * x)
    assert edge(x, mixed_by(1.0, progress=Progress(50, 50).fraction)) is None


def test_where_all_operations_give_zeros_the_edge_is_the_identity_at_first():
    edge, x = edge_of([AuxiliarySkip()]), images_of()
    assert torch.equal(edge(x, mixed_by(1.0, 0.0, 0.0, 0.0, alive=[True, False, False, False])), x)


def test_the_number_0_builds_no_skip_and_a_schedule_that_reaches_0_costs_nothing_there():
    assert isinstance(edge_of([AuxiliarySkip(0.0)]), MixedEdge)
    edge, x = edge_of([AuxiliarySkip()]), images_of()
    mixing = mixed_by(0.1, 0.2, 0.3, 0.4, progress=1.0)
    edge.skip.forward = lambda x: pytest.fail("computed")
    assert torch.equal(edge.eval()(x, mixing), edge.edge(x, mixing))


def test_where_the_image_is_halved_the_skip_is_a_factorized_reduction_of_its_own():
    edge = edge_of([AuxiliarySkip()], stride=2)
    assert isinstance(edge.skip, FactorizedReduce)
    assert edge.skip.norm.weight is None
    own = edge.edge.candidates[OPERATIONS.index("skip_connect")]
    assert not torch.equal(own.even.weight, edge.skip.even.weight)


@both_strides
def test_the_learned_skip_begins_as_the_identity(stride):
    edge, x = edge_of([AuxiliarySkip(operation="conv_1x1")], stride=stride), images_of()
    assert isinstance(edge, AuxiliaryEdge)
    assert isinstance(edge.skip, IdentityConvolution if stride == 1 else FactorizedReduce)
    if stride == 1:
        torch.testing.assert_close(edge.skip(x), x)
        assert edge.skip.weight.requires_grad


def test_the_learned_skip_draws_no_weights_so_that_all_others_are_the_same():
    learned, plain = (
        edge_of([AuxiliarySkip(operation=name)], operations=("nor_conv_3x3", "nor_conv_1x1"))
        for name in ("conv_1x1", "skip")
    )
    state = plain.edge.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in learned.edge.state_dict().items())


def test_a_ramp_is_refused_with_what_to_write_instead():
    with pytest.raises(ValueError, match=r"weight: a ramp counts the epochs.*use \{linear: \[1.0, 0.0\]\}"):
        AuxiliarySkip(Ramp((1.0, 0.0)))


def test_bad_options_are_refused_by_name():
    with pytest.raises(ValueError, match=r"weight: -1\.0 is negative"):
        AuxiliarySkip(-1.0)
    builder = Builder()
    assert builder.build(AuxiliarySkip, {"weight": {"linear": [1, 0]}, "operation": "conv_3x3"}) is None
    assert [path for path, _ in builder.problems] == [("operation",)]
    assert Builder().build(AuxiliarySkip, {"weight": {"cosine": [1, 0]}}) == AuxiliarySkip(Cosine((1.0, 0.0)))


def test_the_skip_of_the_search_space_stays_among_the_operations():
    edge, x = edge_of([AuxiliarySkip()]).eval(), images_of()
    assert len(edge.edge.candidates) == len(OPERATIONS)
    due = operation("skip_connect", 8)(x)
    made = edge(x, mixed_by(0.0, 1.0, 0.0, 0.0, alive=[False, True, False, False]))
    torch.testing.assert_close(made, 2 * due)
