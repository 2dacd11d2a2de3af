"""Searches whose passes are captured compute what they compute without graphs, on a CPU bit for bit."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass, replace

import pytest
import torch
from capturing import Capturer
from objectives import only
from searched import assert_equal, state
from torch import nn

from raynas.data.dataset.digits import Digits
from raynas.data.device import resident
from raynas.differentiable.arch_gradient.a2m import A2M
from raynas.differentiable.arch_gradient.neighborhood import Neighborhood
from raynas.differentiable.arch_gradient.unrolled import Unrolled
from raynas.differentiable.arch_regularizer.beta import Beta
from raynas.differentiable.bilevel import Bilevel
from raynas.differentiable.cuda_graphs import CudaCapturer
from raynas.differentiable.graphed_losses import GraphedLosses
from raynas.differentiable.losses import Losses
from raynas.differentiable.method import Method
from raynas.differentiable.mixed_op.auxiliary_skip import AuxiliarySkip
from raynas.differentiable.mixed_op.partial_channels import PartialChannels
from raynas.differentiable.mixing_perturbation.random import Random
from raynas.differentiable.parameters import detached, logits
from raynas.differentiable.relaxation.dirichlet import Dirichlet
from raynas.differentiable.relaxation.gumbel import Gumbel
from raynas.differentiable.schedule import Progress
from raynas.differentiable.weight_regularizer.layer_alignment import LayerAlignment
from raynas.flatness.aggregator.max import Max
from raynas.flatness.hessian import greatest_eigenvalue, hessian
from raynas.spaces import get_space
from raynas.supernets.mixing import Mixing
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

torch.set_num_threads(1)

PC = PartialChannels(k=2)
BOTH = ["alpha-step", "w-step"]
METHODS = {
    "darts": ({}, 2),
    "a2m": ({"arch_gradient": A2M()}, 2),
    "na": ({"arch_gradient": Neighborhood(d=2, n_nbr=3)}, 2),
    "na by the greatest loss": (
        {"arch_gradient": Neighborhood(d=2, n_nbr=3, aggregator=Max(), representation="multiplicative")},
        3,  # losses alone, too
    ),
    "pc-darts": ({"mixed_op": (PC,)}, 2),
    "a2m on pc-darts": ({"arch_gradient": A2M(), "mixed_op": (PC,)}, 2),
    "beta-darts": ({"arch_regularizer": Beta()}, 2),
    "drnas": ({"relaxation": Dirichlet()}, 2),
    "sdarts": ({"mixing_perturbation": Random()}, 2),
    "darts-": ({"mixed_op": (AuxiliarySkip(),)}, 2),
    "second order": ({"arch_gradient": Unrolled()}, 1),
    "lambda-darts": ({"weight_regularizer": LayerAlignment(weight=0.1)}, 1),
    "gdas": ({"relaxation": Gumbel()}, 0),
}
"""Slots, and how many graphs an epoch of it captures."""

NB201 = NasBench201(channels=4, cells=1, stages=1), get_space("nas_bench_201")
DARTS = Darts(channels=2, layers=3), get_space("darts_s2")


def bilevel_of(capturer=None, *, on=NB201, device="cpu", precision="float32", max_batches=None, **slots):
    """A search of 600 training images in batches of 96, the last one of 24."""
    method = Method(**slots, epochs=4, batch_size=96)
    skeleton, space = on
    supernet = skeleton.supernet(
        space,
        in_channels=1,
        n_classes=10,
        generator=torch.Generator().manual_seed(0),
        wrappers=method.mixed_op,
    ).to(device)
    data = resident(Digits(), device)
    return Bilevel(
        method, supernet, data, seed=0, precision=precision, max_batches=max_batches, capturer=capturer
    )


def train(bilevel, *epochs):
    return [bilevel.train(Progress(epoch, 4), epoch, lr=0.025, rest=False) for epoch in epochs]


def both(capturer, change=lambda bilevel: None, **options):
    """A search with graphs that equals the one without, after an epoch, a change and another epoch."""
    pair = bilevel_of(**options), bilevel_of(capturer, **options)
    for epochs in ([1], [2]):
        plain, graphed = (train(bilevel, *epochs) for bilevel in pair)
        assert plain == graphed
        assert_equal(*map(state, pair))
        for bilevel in pair:
            change(bilevel)
    return pair[1]


@pytest.fixture
def capturer():
    return Capturer()


# The same results


@pytest.mark.parametrize("name", METHODS)
def test_an_epoch_gives_the_same_parameters_weights_statistics_and_losses(name, capturer):
    slots, n_graphs = METHODS[name]
    plain, graphed = bilevel_of(**slots), bilevel_of(capturer, **slots)
    assert train(plain, 1) == train(graphed, 1)
    assert_equal(state(plain), state(graphed))
    assert len(capturer.graphs) == n_graphs


def test_a_search_on_the_darts_space_gives_the_same(capturer):
    options = {"on": DARTS, "max_batches": 4}
    plain, graphed = (bilevel_of(one, mixed_op=(PC,), **options) for one in (None, capturer))
    assert train(plain, 1) == train(graphed, 1)
    assert_equal(state(plain), state(graphed))
    assert [graph.replays for graph in capturer.graphs] == [1, 1]


def test_the_smaller_last_batch_is_left_as_it_is(capturer):
    """Of seven steps an epoch the first three are met, and the last w-step is another."""
    train(bilevel_of(capturer), 1, 2, 3)
    assert [graph.replays for graph in capturer.graphs] == [4 + 7 + 7, 3 + 6 + 6]


def test_the_same_in_bfloat16(capturer):
    options = {"precision": "bfloat16", "max_batches": 4}
    plain, graphed = bilevel_of(**options), bilevel_of(capturer, **options)
    assert train(plain, 1) == train(graphed, 1)
    assert_equal(state(plain), state(graphed))
    assert len(capturer.graphs) == 2


def test_evaluations_and_the_eigenvalue_are_the_same_in_between(capturer):
    plain, graphed = bilevel_of(), bilevel_of(capturer)
    for bilevel in (plain, graphed):
        train(bilevel, 1)
    assert plain.evaluate(Progress(1, 4), 1) == graphed.evaluate(Progress(1, 4), 1)
    assert plain.hessian_eigenvalue(Progress(1, 4), 1) == graphed.hessian_eigenvalue(Progress(1, 4), 1)
    assert [graph.replays for graph in capturer.graphs] == [4, 3]


# What graphs hang on


def test_after_operations_were_given_up_passes_are_captured_anew(capturer):
    def change(bilevel):
        bilevel.narrow(only(bilevel.layout, {("", 0): (3,), ("", 2): (1, 2), ("", 4): (1, 3)}))

    both(capturer, change)
    assert [graph.dropped for graph in capturer.graphs] == [True] * 4


def test_after_channels_were_widened_no_graph_knows_the_old_weights(capturer):
    graphed = both(capturer, lambda bilevel: bilevel.widen(2, "test"), mixed_op=(PartialChannels(k=4),))
    assert [graph.dropped for graph in capturer.graphs] == [True] * 4
    train(graphed, 3)


def test_after_batches_have_grown_passes_are_captured_anew(capturer):
    both(capturer, lambda bilevel: bilevel.grow_batches(10))
    assert len(capturer.graphs) == 4
    assert not capturer.alive()


def test_after_a_state_was_loaded_it_goes_on_as_it_would_have(capturer):
    graphed = bilevel_of(capturer)
    train(graphed, 1)
    saved = pickle.loads(pickle.dumps(graphed.state_dict()))
    train(graphed, 2)
    due = {name: tensor.clone() for name, tensor in state(graphed).items()}
    graphed.load_state_dict(saved)
    assert not capturer.alive()
    train(graphed, 2)
    assert_equal(state(graphed), due)


def test_an_epoch_makes_a_new_graph_only_where_the_network_reads_how_far_the_search_is(capturer):
    train(bilevel_of(capturer, mixed_op=(PC,)), 1, 2)
    assert len(capturer.graphs) == 2
    fading = Capturer()
    train(bilevel_of(fading, mixed_op=(PC, AuxiliarySkip())), 1, 2)
    assert len(fading.graphs) == 4
    assert len(fading.alive()) == 2


@pytest.mark.parametrize("on", [NB201, DARTS], ids=["nb201", "darts"])
@pytest.mark.parametrize(
    ("wrappers", "reads"),
    [((), False), ((PC,), False), ((AuxiliarySkip(),), True), ((PC, AuxiliarySkip()), True)],
    ids=["plain", "pc", "auxiliary", "both"],
)
def test_a_supernet_says_whether_it_reads_how_far_the_search_is(on, wrappers, reads):
    assert bilevel_of(on=on, mixed_op=wrappers).supernet.reads_progress == reads


# Losses as functions


def losses_and_mixing(capturer):
    """The losses of a search whose alpha-step has been captured, a batch, and a mixing of given logits."""
    bilevel = bilevel_of(capturer)
    train(bilevel, 1)
    batch = next(iter(bilevel._valid_batches.take(1)))

    def mixing(rows):
        return Mixing({kind: numbers.softmax(1) for kind, numbers in rows.items()}, bilevel.alive)

    return bilevel._losses, batch, mixing, detached(logits(bilevel.alpha))


def test_two_losses_may_be_taken_before_either_is_differentiated(capturer):
    losses, batch, mixing, alpha = losses_and_mixing(capturer)
    points = [(factor * alpha[""]).requires_grad_() for factor in (1.0, -300.0)]
    due = [torch.autograd.grad(losses.untracked(batch, mixing({"": point}), 0), point) for point in points]
    before = capturer.graphs[0].replays
    found = [losses.by_mixing(batch, mixing({"": point}), 0) for point in points]
    assert capturer.graphs[0].replays == before + 2
    for point, loss, (gradient,) in zip(points, found, due, strict=True):
        assert torch.equal(torch.autograd.grad(loss, point)[0], gradient)


def test_second_derivatives_are_those_of_the_loss_itself(capturer):
    losses, batch, mixing, alpha = losses_and_mixing(capturer)
    plain, graphed = (
        greatest_eigenvalue(hessian(lambda rows, of=of: of(batch, mixing(rows), 0), alpha))
        for of in (losses.untracked, losses.by_mixing)
    )
    assert graphed == pytest.approx(plain, rel=1e-5)


# What is not captured


def fewer_alive(mixing, losses):
    return replace(mixing, alive=only(losses.supernet.layout, {("", 1): (1, 2)}))


def one_hot(mixing, losses):
    """As GDAS gives it, here with the same operations drawn again and again."""
    return replace(fewer_alive(mixing, losses), dead_as_numbers=True)


def of_each_cell(mixing, losses):
    return replace(mixing, weights={"": mixing.weights[""][None]})


def evaluated(mixing, losses):
    losses.supernet.eval()
    return mixing


@pytest.mark.parametrize(
    ("change", "n_captured"), [(fewer_alive, 1), (one_hot, 0), (of_each_cell, 1), (evaluated, 0)]
)
def test_a_graph_takes_no_pass_but_those_that_it_was_captured_for(capturer, change, n_captured):
    losses, batch, mixing, alpha = losses_and_mixing(capturer)
    rows = {"": alpha[""].requires_grad_()}
    changed, before = change(mixing(rows), losses), len(capturer.graphs)
    due = losses.untracked(batch, changed, 0)
    assert [losses.by_mixing(batch, changed, 0).item() for _ in range(5)] == [due.item()] * 5
    assert len(capturer.graphs) == before + n_captured


@dataclass(frozen=True)
class Peeking:
    """Wraps every edge in one that looks at its weights."""

    def wrapped(self, shape, build):
        return PeekingEdge(build(shape))


class PeekingEdge(nn.Module):
    reads_progress = False

    def __init__(self, edge):
        super().__init__()
        self.edge = edge

    def forward(self, x, mixing):
        return None if mixing.weights[0].detach().item() > 1 else self.edge(x, mixing)


@pytest.mark.parametrize(
    ("on", "wrappers", "reason"),
    [
        (NB201, (Peeking(),), "not permitted when stream is capturing"),
        ((Darts(channels=2, layers=3), get_space("darts_s4")), (), "draws at random"),
    ],
    ids=["a look at a number", "noise"],
)
def test_a_supernet_that_cannot_be_captured_is_searched_without(capturer, caplog, on, wrappers, reason):
    with caplog.at_level(logging.WARNING):
        pair = [bilevel_of(one, on=on, mixed_op=wrappers, max_batches=4) for one in (None, capturer)]
        assert train(pair[0], 1) == train(pair[1], 1)
    assert_equal(*map(state, pair))
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert not capturer.graphs


# On a GPU


def off(found, due):
    """How far some tensors are from others, of their norm."""
    found, due = (torch.cat([tensor.detach().flatten().float() for tensor in of]) for of in (found, due))
    return float((found - due).norm() / due.norm())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("precision", "most"), [("float32", 0.01), ("bfloat16", 0.05)])
@pytest.mark.parametrize("name", ["darts", "a2m", "na", "pc-darts"])
def test_on_a_gpu_graphs_give_the_losses_and_gradients_of_the_passes_themselves(
    name, precision, most, caplog
):
    slots, n_graphs = METHODS[name]
    bilevel = bilevel_of(CudaCapturer("cuda"), device="cuda", precision=precision, **slots)
    train(bilevel, 1)
    bilevel.grow_batches(4)  # after which all is captured anew
    train(bilevel, 2)
    assert not caplog.records
    losses, weights = bilevel._losses, list(bilevel.supernet.parameters())
    assert sum(role.graph is not None for role in losses.graphs._roles.values()) == n_graphs
    batch = next(iter(bilevel._valid_batches.take(1)))
    mixing = bilevel._relaxer.mixing(bilevel.alpha, bilevel.alive, Progress(3, 4), torch.Generator())
    still = replace(mixing, weights=detached(mixing.weights), edge_weights=detached(mixing.edge_weights))
    found, due = [], []
    for of, kind in ((found, GraphedLosses), (due, Losses)):
        loss, logits, gradients = kind.by_weights(losses, batch, still, 0, weights)
        of.append([loss, logits])
        of.append(gradients)
        loss = kind.by_mixing(losses, batch, mixing, 0)
        of.append([loss])
        of.append(torch.autograd.grad(loss, list(bilevel.alpha.values()), retain_graph=True))
    for graphed, plain in zip(found, due, strict=True):
        assert off(graphed, plain) < most
