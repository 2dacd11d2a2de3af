"""NAS-Bench-201's operations one by one, against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.supernets.initialization import materialize
from raynas.supernets.operations import operation

torch.set_num_threads(1)

NAMES = get_space("nas_bench_201").operations


def made(name, *, affine=True):
    with torch.device("meta"):
        module = operation(name, 4, affine=affine)
    return materialize(module, torch.Generator().manual_seed(0))


@pytest.fixture
def images():
    return torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_keeps_the_shape_and_the_input(name, images):
    before = images.clone()
    assert made(name)(images).shape == images.shape
    assert torch.equal(images, before), "an operation in place would spoil its node for the other edges"


def test_none_gives_zeros_and_skip_connect_the_input(images):
    assert torch.equal(made("none")(images), torch.zeros_like(images))
    assert torch.equal(made("skip_connect")(images), images)


def test_the_pool_does_not_count_its_padding(images):
    pooled = made("avg_pool_3x3")(images)
    assert pooled[0, 0, 0, 0].item() == pytest.approx(images[0, 0, :2, :2].mean().item())
    assert pooled[0, 0, 2, 2].item() == pytest.approx(images[0, 0, 1:4, 1:4].mean().item())


@pytest.mark.parametrize(("name", "kernel"), [("nor_conv_1x1", 1), ("nor_conv_3x3", 3)])
def test_a_convolution_is_relu_then_convolution_then_batch_norm(name, kernel, images):
    module = made(name)
    convolution, norm = module[1], module[2]
    assert convolution.bias is None
    assert convolution.kernel_size == (kernel, kernel)
    assert (norm.eps, norm.momentum) == (1e-5, 0.1)
    raw = functional.conv2d(images.relu(), convolution.weight, padding=kernel // 2)
    due = (raw - raw.mean((0, 2, 3), keepdim=True)) / (
        raw.var((0, 2, 3), keepdim=True, correction=0) + 1e-5
    ).sqrt()
    torch.testing.assert_close(module(images), due, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("affine", [True, False])
def test_affine_decides_whether_the_batch_norm_has_weights(affine):
    norm = made("nor_conv_3x3", affine=affine)[2]
    assert (norm.weight is not None) == affine
    assert norm.track_running_stats


def test_an_unknown_operation_is_refused_with_the_closest():
    with pytest.raises(InputError, match="no operation 'nor_conv_3x4'; did you mean 'nor_conv_3x3'"):
        operation("nor_conv_3x4", 4)


# First weights


@pytest.mark.parametrize(
    "layer", [lambda: nn.Conv2d(3, 8, 3), lambda: nn.Conv2d(4, 6, 1, bias=False), lambda: nn.Linear(7, 5)]
)
def test_first_weights_are_the_ones_pytorch_draws(layer):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        due = layer()
    with torch.device("meta"):
        module = layer()
    found = materialize(module, torch.Generator().manual_seed(3))
    assert found.state_dict().keys() == due.state_dict().keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, due.state_dict()[name]), name


def test_a_module_without_a_rule_is_refused_rather_than_left_as_memory_comes():
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(2, 2), nn.PReLU())
    with pytest.raises(TypeError, match="1: a PReLU has no rule for its first weights"):
        materialize(module, torch.Generator())
