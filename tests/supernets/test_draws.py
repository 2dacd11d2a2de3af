"""Random draws of a forward pass: streams kept apart, and the law of drop path."""

from __future__ import annotations

import pytest
import torch

from raynas.supernets.draws import drawn_from, draws_at_random, drop_path

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


@pytest.mark.parametrize("device", DEVICES)
def test_a_stream_depends_on_its_seed_alone_and_leaves_no_trace(device):
    undisturbed = torch.Generator(device).manual_seed(5)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        with drawn_from(1, device):
            first = torch.randn(3, device=device)
        before = torch.randn(3, device=device)
        with drawn_from(1, device):
            again = torch.randn(3, device=device)
            with drawn_from(2, device):
                other = torch.randn(3, device=device)
            further = torch.randn(3, device=device)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, further)
    assert torch.equal(before, torch.randn(3, device=device, generator=undisturbed))


def test_a_stream_ends_where_an_error_does():
    before = torch.get_rng_state()
    with pytest.raises(KeyError), drawn_from(1):
        torch.randn(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", DEVICES)
def test_work_that_draws_is_told_from_work_that_does_not_and_leaves_no_trace(device):
    with drawn_from(3, device):
        first = torch.randn(2, device=device)
    with drawn_from(3, device):
        assert draws_at_random(lambda: torch.rand(2, device=device), device)
        assert not draws_at_random(lambda: torch.ones(2, device=device), device)
        assert torch.equal(torch.randn(2, device=device), first)


def test_drop_path_drops_whole_images_and_scales_up_the_others():
    x = torch.ones(2000, 3, 2, 2, dtype=torch.float64)
    with drawn_from(0):
        found = drop_path(x, 0.2)
    of_images = found[:, 0, 0, 0]
    assert torch.equal(found, of_images.view(-1, 1, 1, 1).expand_as(found))
    assert set(of_images.tolist()) == {0.0, 1 / 0.8}
    standard_error = (0.2 / 0.8 / len(x)) ** 0.5
    assert abs(of_images.mean() - 1) < 4 * standard_error


def test_drop_path_of_nothing_is_the_input_and_draws_nothing():
    x, before = torch.randn(4, 2), torch.get_rng_state()
    assert drop_path(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("probability", [-0.1, 1.0, 2.0, float("nan")])
def test_a_probability_outside_is_refused(probability):
    with pytest.raises(ValueError, match="outside"):
        drop_path(torch.zeros(1, 1), probability)
