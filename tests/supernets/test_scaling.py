"""Widths for a number of multiply-adds: GeNAS's published networks, and widths found by trying all."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from raynas.errors import InputError
from raynas.spaces import from_genes, get_space
from raynas.supernets import scaling
from raynas.supernets.scaling import DARTS_CIFAR, WIDEST, DartsTarget, NasBench201Target, cost, within

torch.set_num_threads(1)

# GeNAS (Jeong et al., IJCAI 2023): its released genes and widths, and its model zoo's millions of parameters.
GENAS = {
    "cifar100 flatness": ("3 5 0 4 4 0 0 4 5 0 4 0 0 7", "6 3 2 0 5 0 5 0 7 0 1 1 0 0", 46, 5.2),
    "cifar100 angle and flatness": ("3 5 1 4 0 0 4 0 4 0 4 0 0 5", "6 4 0 7 2 1 3 0 0 0 4 0 0 7", 48, 5.4),
    "cifar10 flatness": ("3 6 0 4 4 0 6 6 0 0 0 0 4 3", "5 2 0 6 4 0 3 0 6 0 0 5 0 7", 52, 5.6),
    "cifar10 angle and flatness": ("5 4 4 4 0 4 5 0 0 4 0 0 0 4", "7 7 2 3 0 4 1 0 0 0 0 0 5 6", 44, 5.3),
}


def genas(name):
    normal, reduce, _, _ = GENAS[name]
    return from_genes([*map(int, normal.split())], [*map(int, reduce.split())], space="darts")


@pytest.mark.parametrize("name", GENAS)
def test_genas_took_the_even_width_closest_to_600_million_multiply_adds(name):
    """Its table says 0.6 G for all; two of the four exceed 600 million, by 2.4 and 10.1."""
    architecture, (_, _, channels, parameters_m) = genas(name), GENAS[name]
    found = cost(architecture, DartsTarget(channels=channels))
    assert round(found.parameters / 1e6, 1) == parameters_m
    assert round(found.flops / 1e9, 1) == 0.6
    narrow = cost(architecture, DartsTarget(channels=2)).flops
    # a * c**2 + b * c through both, which is exact for even widths
    a, b = np.linalg.solve([[4, 2], [channels**2, channels]], [narrow, found.flops])
    off = {even: abs(a * even**2 + b * even - 600e6) for even in range(channels - 8, channels + 9, 2)}
    assert min(off, key=off.get) == channels


def test_a_budget_of_600_million_gives_the_published_width_where_that_keeps_it():
    found, its_cost = within(genas("cifar10 angle and flatness"), DartsTarget(), 600)
    assert found == DartsTarget(channels=44)
    assert (its_cost.flops, its_cost.parameters) == (592_905_456, 5_344_118)


def drawn(space):
    return get_space(space).sample(np.random.default_rng(5))


SMALL = {
    "darts": DartsTarget(layers=3, stem="imagenet", image_size=33, n_classes=7),
    "darts_s4": DartsTarget(layers=4, stem="cifar", image_size=9, in_channels=1, n_classes=7),
    "nas_bench_201": NasBench201Target(cells=1, stages=2, image_size=9, in_channels=1),
}
CASES = [(target, drawn(space)) for space, target in SMALL.items()]


@pytest.mark.parametrize(("target", "architecture"), CASES)
def test_the_width_found_is_the_widest_within_the_budget(target, architecture, monkeypatch):
    counted = cache(cost)
    monkeypatch.setattr(scaling, "cost", counted)  # counting takes its time
    for multiple_of in (1, 3, 4):
        widths = [c for c in range(target.narrowest, 15) if c % multiple_of == 0]
        flops = {c: counted(architecture, replace(target, channels=c)).flops for c in widths}
        for budget in (flops[widths[0]], flops[widths[1]] - 1, flops[widths[-2]], flops[widths[-1]] - 1):
            found, its_cost = within(architecture, target, budget / 1e6, multiple_of=multiple_of)
            assert found.channels == max(c for c, n in flops.items() if n <= budget)
            assert its_cost.flops == flops[found.channels]


def test_a_cell_that_mixes_no_channels_has_a_width_too():
    architecture = get_space("nas_bench_201").parse("|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    target = NasBench201Target(stages=1)
    assert within(architecture, target, 0.28864)[0].channels == 10  # 9 * 3 * 32 * 32 and 10 for each channel


@pytest.mark.parametrize(
    ("flops_m", "options", "message"),
    [
        (1e-6, {}, "below the .* of the narrowest network, of 1 channels; give more"),
        (1e-6, {"multiple_of": 8}, "of 8 channels"),
        (1e9, {}, f"more than {WIDEST} channels"),
        (0.0, {}, "not positive"),
        (float("nan"), {}, "not positive"),
        (1.0, {"multiple_of": 0}, "multiple_of: 0"),
    ],
)
def test_a_budget_that_no_width_fits_is_refused(flops_m, options, message):
    with pytest.raises(InputError, match=message):
        within(drawn("nas_bench_201"), SMALL["nas_bench_201"], flops_m, **options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(DartsTarget, {"layers": 2}), (DartsTarget, {"channels": 1}), (NasBench201Target, {"stages": 0})],
)
def test_a_network_that_cannot_be_is_refused(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(**options)


def test_the_options_of_a_target_build_its_network():
    for target, architecture in CASES:
        side = target.image_size
        logits = target.network(architecture).eval()(torch.zeros(1, target.in_channels, side, side))
        assert logits.shape == (1, target.n_classes)
    assert DARTS_CIFAR.options == {
        "channels": 36,
        "in_channels": 3,
        "n_classes": 10,
        "layers": 20,
        "stem": "cifar",
    }
