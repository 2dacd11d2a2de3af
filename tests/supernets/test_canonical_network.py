"""Networks side by side compute what each computes alone, written out edge by edge in plain PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.spaces.canonical import CanonicalCell, Convolution, Term, canonical_form, classes
from raynas.spaces.canonical import convolution_of_edges as convolutions_of
from raynas.supernets.canonical import CanonicalNetwork

torch.set_num_threads(1)

SPACE = get_space("nas_bench_201")
SEEDS = (0, 5, 11)
EDGES = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]

NO_CONVOLUTION = "|avg_pool_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|skip_connect~1|avg_pool_3x3~2|"
DISCONNECTED = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"
TWICE = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|skip_connect~1|skip_connect~2|"
DENSE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
CELLS = [SPACE.parse(text) for text in (NO_CONVOLUTION, DISCONNECTED, TWICE, DENSE)]
CELLS += [SPACE.sample(np.random.default_rng(seed)) for seed in range(6)]


class Plain(nn.Module):
    """One network of the group, its cells as the architecture writes them."""

    def __init__(self, architecture, network, group, *, channels, stages):
        super().__init__()
        self.group, self.n_groups = group, len(SEEDS)
        self.names = [SPACE.operations[op] for op in architecture.ops]
        self.numbers = convolutions_of(architecture)
        self.modules_of = nn.ModuleDict()
        self.copied = {}
        for name, module in network.named_modules():
            if hasattr(module, "weight") and not name.startswith("classifier"):
                self.modules_of[name.replace(".", "/")] = self._one(name, module)
        self.classifier = nn.Linear(channels * 2 ** (stages - 1), network.classifier.weight.shape[1]).double()
        self.classifier.weight.data = network.classifier.weight.data[group].clone()
        self.classifier.bias.data = network.classifier.bias.data[group, :, 0].clone()
        self.stages = stages

    def _one(self, name, module):
        def mine(tensor):
            return tensor.detach().chunk(self.n_groups)[self.group].clone()

        weight = mine(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            made = nn.BatchNorm2d(len(weight), momentum=0.2).double()
            made.bias.data = mine(module.bias)
            made.running_mean, made.running_var = mine(module.running_mean), mine(module.running_var)
        else:
            side = weight.shape[-1]
            stride = 2 if name.endswith("0.first.1") else 1
            made = nn.Conv2d(
                weight.shape[1], len(weight), side, stride=stride, padding=side // 2, bias=False
            ).double()
        made.weight.data = weight
        return made

    def at(self, name):
        return self.modules_of[name.replace(".", "/")]

    def unit(self, name, x):
        return self.at(f"{name}.2")(self.at(f"{name}.1")(x.relu()))

    def cell(self, prefix, x):
        nodes = [x, None, None, None]
        for (target, source), name, number in zip(EDGES, self.names, self.numbers, strict=True):
            value = nodes[source]
            if name == "none" or value is None:
                continue
            if name == "avg_pool_3x3":
                value = functional.avg_pool2d(value, 3, stride=1, padding=1, count_include_pad=False)
            elif name != "skip_connect":
                if not number:
                    continue
                value = self.unit(f"{prefix}.convolutions.{number}_{name}", value)
            nodes[target] = value if nodes[target] is None else nodes[target] + value
        return torch.zeros_like(x) if nodes[3] is None else nodes[3]

    def forward(self, x):
        x = self.at("stem.1")(self.at("stem.0")(x))
        for stage in range(self.stages):
            place = f"stages.{stage}"
            if stage:
                half = functional.avg_pool2d(x, 2, ceil_mode=True)
                deep = self.unit(f"{place}.0.second", self.unit(f"{place}.0.first", x))
                x = self.at(f"{place}.0.shortcut.1")(half) + deep
            x = self.cell(f"{place}.{int(stage > 0)}", x)
        return self.classifier(self.at("norm")(x).relu().mean((2, 3)))


def made(architecture, *, stages=1, seeds=SEEDS, channels=4):
    return CanonicalNetwork(
        canonical_form(architecture),
        seeds=seeds,
        channels=channels,
        stages=stages,
        in_channels=2,
        n_classes=3,
    )


def shaken(network):
    """In float64, with batch norms that are not the identity."""
    generator = torch.Generator().manual_seed(1)
    network = network.double()
    for name, tensor in network.state_dict().items():
        if tensor.dim() == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
        elif name == "classifier.bias":
            tensor.normal_(generator=generator)
    return network


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(len(SEEDS), 5, 2, 6, 6, generator=generator, dtype=torch.float64)


LABELS = torch.tensor([0, 2, 1, 1, 0])


# The same as alone


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("architecture", CELLS, ids=str)
def test_each_group_computes_and_learns_what_a_network_of_one_seed_does(architecture, stages, images):
    network = shaken(made(architecture, stages=stages))
    alone = [Plain(architecture, network, group, channels=4, stages=stages) for group in range(len(SEEDS))]

    network.train()
    logits = network(network.side_by_side(images))
    losses = functional.cross_entropy(logits, LABELS.expand(len(SEEDS), -1), reduction="none").mean(1)
    torch.autograd.backward(losses.sum())
    for group, plain in enumerate(alone):
        plain.train()
        due = plain(images[group])
        torch.testing.assert_close(logits[group].T, due, rtol=1e-9, atol=1e-9)
        functional.cross_entropy(due, LABELS).backward()
        for name, module in network.named_modules():
            if hasattr(module, "weight") and not name.startswith("classifier"):
                one = plain.at(name)
                for key in ("weight", "bias"):
                    parameter = getattr(module, key, None)
                    if parameter is not None and parameter.grad is not None:
                        gradient = parameter.grad.chunk(len(SEEDS))[group]
                        expected = getattr(one, key).grad
                        # a batch norm's gradient vanishes up to rounding where another follows it
                        torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-9, msg=name)
                if isinstance(module, nn.BatchNorm2d):
                    mean = module.running_mean.chunk(len(SEEDS))[group]
                    torch.testing.assert_close(mean, one.running_mean, rtol=1e-9, atol=1e-12)
        classifier = network.classifier
        torch.testing.assert_close(classifier.weight.grad[group], plain.classifier.weight.grad)
        torch.testing.assert_close(classifier.bias.grad[group, :, 0], plain.classifier.bias.grad)

    network.eval()
    with torch.no_grad():
        logits = network(network.side_by_side(images[0]))  # the same images to all
        for group, plain in enumerate(alone):
            torch.testing.assert_close(logits[group].T, plain.eval()(images[0]), rtol=1e-9, atol=1e-9)


def test_members_of_a_class_are_one_network_and_agree_edge_by_edge(images):
    class_of, _ = classes(SPACE)
    counts = np.bincount(class_of)
    rng = np.random.default_rng(0)
    for number in rng.choice(np.flatnonzero(counts >= 3), 8, replace=False):
        members = [SPACE.at(int(index)) for index in rng.permutation(np.flatnonzero(class_of == number))[:3]]
        networks = [shaken(made(member)).eval() for member in members]
        states = [network.state_dict() for network in networks]
        logits = [network(network.side_by_side(images)) for network in networks]
        for member, state, found in zip(members, states, logits, strict=True):
            assert state.keys() == states[0].keys()
            assert all(torch.equal(state[name], states[0][name]) for name in state)
            assert torch.equal(found, logits[0])
            plain = Plain(member, networks[0], 1, channels=4, stages=1).eval()
            torch.testing.assert_close(plain(images[1]), logits[0][1].T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("architecture", CELLS[2:6], ids=str)
def test_what_one_network_is_shown_changes_nothing_of_the_others(architecture, images):
    def outcome(shown):
        network = shaken(made(architecture)).train()
        logits = network(network.side_by_side(shown))
        torch.autograd.backward(functional.cross_entropy(logits, LABELS.expand(len(SEEDS), -1)))
        gradients = {
            name: parameter.grad.chunk(len(SEEDS))
            for name, parameter in network.named_parameters()
            if parameter.grad is not None
        }
        return logits.detach(), gradients

    others = images.clone()
    others[1] = images[1].flip(0) * 3 + 1
    (before, gradients), (after, changed) = outcome(images), outcome(others)
    for group in (0, 2):
        assert torch.equal(before[group], after[group])
        for name, parts in gradients.items():
            assert torch.equal(parts[group], changed[name][group]), name
    assert not torch.equal(before[1], after[1])


# Cells at the edge


def test_a_cell_without_convolutions_has_weights_in_stem_and_head_alone():
    network = made(SPACE.parse(NO_CONVOLUTION))
    names = {name.partition(".")[0] for name, _ in network.named_parameters()}
    assert names == {"stem", "norm", "classifier"}


def test_a_disconnected_cell_answers_every_image_alike(images):
    network = made(SPACE.parse(DISCONNECTED)).double().eval()
    logits = network(network.side_by_side(images))
    torch.testing.assert_close(logits, logits[..., :1].expand_as(logits), rtol=0, atol=0)
    assert not logits.any(), "its norm's bias and its classifier's are zero at first"


def test_a_term_that_a_sum_holds_twice_counts_twice(images):
    twice = CanonicalCell((), (Term(0, 0, 2),))
    once = CanonicalCell((), (Term(0, 0, 1),))
    x = images[0]
    values = [
        CanonicalNetwork(cell, seeds=(0,), channels=4, in_channels=2).stages.double()[0](x)
        for cell in (once, twice)
    ]
    assert torch.equal(values[1], 2 * values[0])


def test_a_convolution_of_another_space_is_refused():
    cell = CanonicalCell((Convolution("sep_conv_3x3", (Term(0, 0, 1),)),), (Term(0, 1, 1),))
    with pytest.raises(InputError, match="no convolution 'sep_conv_3x3' in networks of canonical cells"):
        CanonicalNetwork(cell, seeds=(0,), channels=4)


# First weights


def test_first_weights_hang_on_seed_and_name_and_not_on_the_company():
    together, alone = made(CELLS[3]).state_dict(), made(CELLS[3], seeds=(5,)).state_dict()
    for name, tensor in alone.items():
        if tensor.dim():
            assert torch.equal(together[name].chunk(3)[1], tensor), name
    assert not torch.equal(together["stem.0.weight"][:4], together["stem.0.weight"][4:8])


def test_cells_that_share_a_name_share_its_values():
    other = SPACE.parse(TWICE.replace("none~0", "nor_conv_3x3~0"))
    first, second = (made(cell).state_dict() for cell in (SPACE.parse(TWICE), other))
    assert first.keys() != second.keys()
    shared = [name for name in first if name in second and name.endswith("weight")]
    assert any("convolutions" in name for name in shared)
    assert all(torch.equal(first[name], second[name]) for name in shared)


def test_first_weights_have_the_spread_of_their_rule():
    network = made(CELLS[3], channels=32)
    for name, parameter in network.named_parameters():
        if "convolutions" in name and parameter.dim() == 4:
            due = math.sqrt(2 / (parameter.shape[-1] ** 2 * 32))
            # of n values, a standard deviation is off by 1/sqrt(2 n) of itself; four times that
            assert parameter.std().item() == pytest.approx(due, rel=4 / math.sqrt(2 * parameter.numel()))
    weights = network.classifier.weight
    assert weights.abs().max().item() <= 1 / math.sqrt(32)
    assert weights.std().item() == pytest.approx(1 / math.sqrt(3 * 32), rel=0.15)
    assert not network.classifier.bias.any()


def test_building_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    made(CELLS[3], stages=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_and_images_may_come_in_any_memory_format(images):
    network = made(CELLS[3]).double().eval()
    shown = network.side_by_side(images)
    plain, last = network(shown), network(shown.contiguous(memory_format=torch.channels_last))
    assert torch.equal(plain, last)
