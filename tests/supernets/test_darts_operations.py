"""DARTS's operations one by one and all operations at stride 2, against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.supernets.draws import drawn_from
from raynas.supernets.initialization import materialize
from raynas.supernets.operations import FactorizedReduce, operation

torch.set_num_threads(1)

NAMES = sorted(
    {name for space in ("darts", "darts_s4", "nas_bench_201") for name in get_space(space).operations}
)


def made(name, *, channels=4, dtype=torch.float32, **options):
    with torch.device("meta"):
        module = operation(name, channels, **options)
    return materialize(module, torch.Generator().manual_seed(0)).to(dtype)


def images(height=6, width=5, *, channels=4, dtype=torch.float64):
    return torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(1), dtype=dtype)


def normalised(raw):
    deviation = (raw.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    return (raw - raw.mean((0, 2, 3), keepdim=True)) / deviation


def tap_by_tap(x, weight, *, stride, dilation):
    """A convolution of each channel alone, one product a tap, on an image framed with zeros."""
    kernel, (height, width) = weight.shape[-1], x.shape[2:]
    frame = dilation * (kernel // 2)
    framed = functional.pad(x, (frame,) * 4)
    total = 0
    for row in range(kernel):
        for column in range(kernel):
            top, left = row * dilation, column * dilation
            window = framed[:, :, top : top + height : stride, left : left + width : stride]
            total = total + weight[:, 0, row, column].view(1, -1, 1, 1) * window
    return total


def pixel_by_pixel(x, weight):
    return torch.einsum("nihw,oi->nohw", x, weight[:, :, 0, 0])


# Shapes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("side", [(1, 1), (2, 3), (7, 7), (8, 8), (9, 16)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_an_operation_rounds_half_the_side_up_and_keeps_the_input(name, stride, side, dtype):
    x = images(*side, dtype=dtype)
    before = x.clone()
    found = made(name, stride=stride, pool_norm=True, affine=False, dtype=dtype)(x)
    assert found.shape == (3, 4, *[-(-length // stride) for length in side])
    assert found.dtype == dtype
    assert torch.equal(x, before), "an operation in place would spoil its node for the other edges"


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("name", "stride", "weights", "norms"),
    [
        ("none", 2, 0, 0),
        ("noise", 2, 0, 0),
        ("skip_connect", 1, 0, 0),
        ("skip_connect", 2, 6 * 6, 1),
        ("max_pool_3x3", 2, 0, 0),
        ("avg_pool_3x3", 1, 0, 0),
        ("sep_conv_3x3", 2, 2 * (9 * 6 + 6 * 6), 2),
        ("sep_conv_5x5", 1, 2 * (25 * 6 + 6 * 6), 2),
        ("dil_conv_3x3", 1, 9 * 6 + 6 * 6, 1),
        ("dil_conv_5x5", 2, 25 * 6 + 6 * 6, 1),
    ],
)
def test_parameters_are_those_of_the_definition(name, stride, weights, norms, affine):
    module = made(name, channels=6, stride=stride, affine=affine)
    assert sum(p.numel() for p in module.parameters()) == weights + norms * 2 * 6 * affine


# Values


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("name", "kernel"), [("sep_conv_3x3", 3), ("sep_conv_5x5", 5)])
def test_a_separable_convolution_does_it_twice_and_strides_first(name, kernel, stride):
    module = made(name, stride=stride, dtype=torch.float64)
    due = images(7, 6)
    for half, step in zip(module, (stride, 1), strict=True):
        assert half[1].kernel_size == (kernel, kernel)
        deep = tap_by_tap(due.relu(), half[1].weight, stride=step, dilation=1)
        due = normalised(pixel_by_pixel(deep, half[2].weight))
    torch.testing.assert_close(module(images(7, 6)), due)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("name", "kernel"), [("dil_conv_3x3", 3), ("dil_conv_5x5", 5)])
def test_a_dilated_convolution_reads_every_other_pixel(name, kernel, stride):
    module = made(name, stride=stride, dtype=torch.float64)
    x = images(9, 8)
    assert module[1].kernel_size == (kernel, kernel)
    deep = tap_by_tap(x.relu(), module[1].weight, stride=stride, dilation=2)
    torch.testing.assert_close(module(x), normalised(pixel_by_pixel(deep, module[2].weight)))


@pytest.mark.parametrize("side", [(1, 1), (4, 4), (5, 4), (6, 7), (3, 3)])
@pytest.mark.parametrize("out_channels", [4, 5])
def test_a_skip_at_stride_2_reads_even_pixels_and_odd_ones_and_zeros_beyond_the_border(side, out_channels):
    with torch.device("meta"):
        module = FactorizedReduce(3, out_channels)
    materialize(module, torch.Generator().manual_seed(0)).double()
    x = images(*side, channels=3)
    height, width = side
    raw = torch.zeros(3, out_channels, (height + 1) // 2, (width + 1) // 2, dtype=torch.float64)
    for channel in range(out_channels):
        of_even = channel < len(module.even.weight)
        weight = (
            module.even.weight[channel] if of_even else module.odd.weight[channel - len(module.even.weight)]
        )
        for row in range(raw.shape[2]):
            for column in range(raw.shape[3]):
                y, z = (2 * row, 2 * column) if of_even else (2 * row + 1, 2 * column + 1)
                if y < height and z < width:
                    raw[:, channel, row, column] = x[:, :, y, z].relu() @ weight[:, 0, 0]
    torch.testing.assert_close(module(x), normalised(raw))
    assert len(module.even.weight) - len(module.odd.weight) in (0, 1)


def test_a_skip_is_the_input_at_stride_1():
    assert torch.equal(made("skip_connect")(images()), images())


@pytest.mark.parametrize("stride", [1, 2])
def test_pools_do_not_see_their_padding(stride):
    x = images(6, 6) - 10
    mean, most = made("avg_pool_3x3", stride=stride)(x), made("max_pool_3x3", stride=stride)(x)
    for row, column in ((0, 0), (1, 1), (2, 0)):
        top, left = stride * row, stride * column
        window = x[..., max(top - 1, 0) : top + 2, max(left - 1, 0) : left + 2]
        torch.testing.assert_close(mean[:, :, row, column], window.mean((2, 3)))
        torch.testing.assert_close(most[:, :, row, column], window.amax((2, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_pools_and_no_other_operation_are_normed_where_asked_for(name):
    plain, asked = made(name, affine=False), made(name, affine=False, pool_norm=True)
    counts = [sum(isinstance(part, nn.BatchNorm2d) for part in each.modules()) for each in (plain, asked)]
    assert counts[1] - counts[0] == name.endswith("_pool_3x3")
    if name.endswith("_pool_3x3"):
        torch.testing.assert_close(asked.double()(images()), normalised(plain(images())))


def test_none_is_zeros_that_carry_no_gradient():
    x = images().requires_grad_()
    found = made("none", stride=2)(x)
    assert torch.equal(found, torch.zeros(3, 4, 3, 3, dtype=torch.float64))
    assert not found.requires_grad


def test_a_skip_to_one_channel_at_stride_2_is_refused():
    with pytest.raises(InputError, match=r"1 output channel where .* use more channels"):
        operation("skip_connect", 1, stride=2)


# Noise


@pytest.mark.parametrize("stride", [1, 2])
def test_noise_is_standard_normal_whatever_the_input(stride):
    with drawn_from(0):
        found = made("noise", stride=stride).eval()(1e6 + images(200, 200))
    n = found.numel()
    assert abs(found.mean()) < 4 / n**0.5
    assert abs(found.var() - 1) < 4 * (2 / n) ** 0.5
    assert not made("noise")(images().requires_grad_()).requires_grad


def test_noise_is_fresh_at_every_pass_and_the_same_from_the_same_stream():
    noise, x = made("noise"), images()
    with drawn_from(7):
        first, second = noise(x), noise(x)
    with drawn_from(7):
        again = noise(x)
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
