"""The laws of every zero-cost proxy: it touches nothing, draws from its generator, always gives a number."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.lookup import available, build
from raynas.predictors.zero_cost import ZERO_COST
from raynas.spaces import get_space

UNSCORABLE = -1e8
MIXED = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
DEAD_ENDS = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|none~2|"

every_proxy = pytest.mark.parametrize("name", available(ZERO_COST))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def score(name, network, batch, seed=0):
    return build(ZERO_COST, name).score(network, *batch, generator=seeded(seed))


class Other(nn.Module):
    """Of another making: ReLUs in place, dropout, an affine-free norm, a pool that is no module."""

    def __init__(self, *, inplace=True):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(inplace=inplace),
            nn.Conv2d(4, 4, 3, groups=2, bias=False),
            nn.BatchNorm2d(4, affine=False, track_running_stats=False),
            nn.ReLU(inplace=inplace),
            nn.Dropout(0.5),
        )
        self.classifier = nn.Linear(4, 8)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=seeded(parameter.numel()))

    def forward(self, images):
        return self.classifier(functional.avg_pool2d(self.body(images), 4).flatten(1))


def snapshot(network):
    return {
        "tensors": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        "requires": [p.requires_grad for p in network.parameters()],
        "modes": [module.training for module in network.modules()],
        "modules": [id(module) for module in network.modules()],
        "hooks": [
            [len(value) for key, value in vars(module).items() if key.endswith("_hooks")]
            for module in network.modules()
        ],
        "places": [id(tensor) for tensor in (*network.parameters(), *network.buffers())],
    }


@every_proxy
def test_scoring_leaves_the_network_as_it_was_to_the_last_bit(name, make, batch):
    network = make(MIXED).train()
    functional.cross_entropy(network(batch[0]), batch[1]).backward()
    network.body[0].eval()
    network.stem[0].weight.requires_grad_(False)
    network.head[-1].bias.grad = None
    before, images, labels = snapshot(network), *(tensor.clone() for tensor in batch)
    score(name, network, batch)
    after = snapshot(network)
    for what in ("tensors", "gradients"):
        torch.testing.assert_close(after.pop(what), before.pop(what), rtol=0, atol=0)
    assert after == before
    assert torch.equal(batch[0], images)
    assert torch.equal(batch[1], labels)
    assert not batch[0].requires_grad
    assert batch[0].grad is None


@every_proxy
def test_the_global_random_state_is_neither_used_nor_touched(name, make, batch):
    network, found = make(MIXED), []
    with torch.random.fork_rng():
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            found.append(score(name, network, batch, seed=3))
            assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]


@every_proxy
@pytest.mark.parametrize("mode", [True, False])
def test_the_score_does_not_hang_on_the_networks_mode_or_on_autograds(name, mode, make, batch):
    network = make(MIXED)
    expected = score(name, network, batch)
    for parameter in network.parameters():
        parameter.requires_grad = mode
    with torch.no_grad():
        assert score(name, network.train(mode), batch) == expected
    assert np.isfinite(expected)
    assert expected != UNSCORABLE


@every_proxy
@pytest.mark.parametrize("cell", ["none", DEAD_ENDS])
@pytest.mark.parametrize("stages", [1, 3])
def test_a_cell_that_lets_nothing_through_has_a_score(name, cell, stages, make, batch):
    found = score(name, make(cell, stages=stages), batch)
    assert isinstance(found, float)
    assert np.isfinite(found)
    if name in {"synflow", "jacov", "zen"}:  # these are minus infinity, and would not rank otherwise
        assert found == UNSCORABLE


@every_proxy
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_network_has_a_score(name, value, make, batch):
    network = make(MIXED)
    with torch.no_grad():
        network.stem[0].weight[0, 0, 0, 0] = value
    assert np.isfinite(score(name, network, batch))


@every_proxy
def test_double_precision_gives_the_same_up_to_rounding(name, make, batch):
    images, labels = batch
    found = score(name, make(MIXED).double(), (images.double(), labels))
    assert found == pytest.approx(score(name, make(MIXED), batch), rel=1e-3)


@every_proxy
def test_random_cells_are_all_scored_and_not_all_alike(name, make, batch):
    space, rng = get_space("nas_bench_201"), np.random.default_rng(0)
    found = [score(name, make(str(space.sample(rng))), batch) for _ in range(6)]
    assert np.isfinite(found).all()
    assert len(set(found)) > 2


@every_proxy
def test_networks_of_another_making_are_scored_as_if_nothing_were_in_place(name, batch):
    """Dropout is off: it would draw from the global state."""
    found = score(name, Other(), batch)
    assert found == score(name, Other(inplace=False), batch)
    assert np.isfinite(found)
    assert found != UNSCORABLE


@every_proxy
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_a_cpu_gives(name, make, batch):
    on_gpu = score(name, make(MIXED).cuda(), tuple(tensor.cuda() for tensor in batch))
    assert on_gpu == pytest.approx(score(name, make(MIXED), batch), rel=0.02)


@every_proxy
def test_a_proxy_is_a_value(name):
    proxy = build(ZERO_COST, name)
    assert pickle.loads(pickle.dumps(proxy)) == proxy
    assert hash(proxy) == hash(build(ZERO_COST, name))
    for field in fields(proxy):
        with pytest.raises(FrozenInstanceError):
            setattr(proxy, field.name, None)
