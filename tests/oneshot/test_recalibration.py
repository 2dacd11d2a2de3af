"""Statistics along a path: which batches count how much, and that nothing of the supernet moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raynas.data.images import UNCHANGED
from raynas.oneshot.path import path_of
from raynas.oneshot.recalibration import RecalibrationImages, recalibrated, share_of_batches
from raynas.oneshot.settings import Recalibration
from raynas.spaces import get_space
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

SPACE = get_space("nas_bench_201")
ARCHITECTURE = SPACE.parse("|nor_conv_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|")
STEM = "stem.1.running_mean", "stem.1.running_var"


@pytest.fixture
def supernet(trained):
    return trained(NasBench201(4, cells=1, stages=2)).network()


def batches(n, size=16, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(size, 1, 8, 8, generator=draw) + shift for shift in range(n)]


def stem_statistics(supernet, images):
    with torch.no_grad():
        values = supernet.stem[0](images)
    return values.mean((0, 2, 3)), values.var((0, 2, 3), unbiased=True)


def test_the_average_is_the_mean_of_the_batches_statistics_in_any_order(supernet):
    path = path_of(supernet.layout, ARCHITECTURE)
    given = batches(5)
    found = recalibrated(supernet, path, given, Recalibration())
    each = [stem_statistics(supernet, one) for one in given]
    due = [torch.stack([pair[part] for pair in each]).mean(0) for part in (0, 1)]
    for name, value in zip(STEM, due, strict=True):
        torch.testing.assert_close(found[name], value)
    again = recalibrated(supernet, path, given[::-1], Recalibration())
    for name, value in found.items():
        torch.testing.assert_close(again[name], value)


@pytest.mark.parametrize("n", [1, 3, 14])
def test_the_running_mean_of_training_keeps_a_residue_of_what_it_began_with(supernet, n):
    """After 14 batches 0.9 ** 14 = 22.9 % of the statistics are still (0, 1)."""
    one = batches(1)[0]
    settings = Recalibration(mode="ema")
    found = recalibrated(supernet, path_of(supernet.layout, ARCHITECTURE), [one] * n, settings)
    mean, variance = stem_statistics(supernet, one)
    residue = 1 - sum(share_of_batches(settings, n))
    assert residue == pytest.approx(0.9**n)
    if n == 14:
        assert residue == pytest.approx(0.22877, abs=1e-5)
    torch.testing.assert_close(found[STEM[0]], (1 - residue) * mean)
    torch.testing.assert_close(found[STEM[1]], (1 - residue) * variance + residue)


@pytest.mark.parametrize("mode", ["average", "ema"])
def test_the_newest_batch_counts_most_in_a_running_mean_and_all_count_alike_in_an_average(mode):
    shares = share_of_batches(Recalibration(mode=mode), 3)
    assert shares == pytest.approx([1 / 3] * 3 if mode == "average" else [0.081, 0.09, 0.1])


@pytest.mark.parametrize("mode", ["average", "ema"])
def test_the_supernet_is_left_as_it_was_to_the_last_bit(supernet, mode):
    supernet.train()
    for buffer in supernet.buffers():
        buffer += 3
    before = {name: part.clone() for name, part in supernet.state_dict().items()}
    momenta = [part.momentum for part in supernet.modules() if hasattr(part, "momentum")]
    recalibrated(supernet, path_of(supernet.layout, ARCHITECTURE), batches(2), Recalibration(mode=mode))
    assert all(torch.equal(part, before[name]) for name, part in supernet.state_dict().items())
    assert [part.momentum for part in supernet.modules() if hasattr(part, "momentum")] == momenta
    assert supernet.training
    assert all(part.grad is None for part in supernet.parameters())


def test_norms_off_the_path_are_reset_and_those_on_it_follow_the_images(supernet):
    found = recalibrated(supernet, path_of(supernet.layout, ARCHITECTURE), batches(2), Recalibration())
    # row 0, 3x3 convolution; row 1 is a pool, whose convolutions are off the path
    assert not torch.equal(found["body.0.edges.0.candidates.3.2.running_var"], torch.ones(4))
    for column in (2, 3):
        assert torch.equal(found[f"body.0.edges.1.candidates.{column}.2.running_var"], torch.ones(4))
        assert torch.equal(found[f"body.0.edges.1.candidates.{column}.2.running_mean"], torch.zeros(4))


# Which images


def test_by_default_all_sub_networks_see_the_same_images_unaugmented(images):
    data = images()
    given = RecalibrationImages(data, Recalibration(n_images=32, batch_size=16), seed=0)
    first, second = given.batches("a"), given.batches("b")
    assert len(first) == 2
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    everything = data.train.normalized(data.train.images).flatten(1)
    seen = torch.cat(first).flatten(1)
    assert (seen[:, None] == everything).all(2).any(1).all()
    other = RecalibrationImages(data, Recalibration(n_images=32, batch_size=16), seed=1)
    assert not torch.equal(other.batches("a")[0], first[0])


def test_as_released_each_sub_network_draws_and_augments_its_own(images):
    settings = Recalibration(n_images=32, batch_size=16, mode="ema")
    given = RecalibrationImages(images(), settings, seed=0)
    assert not torch.equal(given.batches("a")[0], given.batches("b")[0])
    assert torch.equal(given.batches("a")[0], given.batches("a")[0])
    plain = RecalibrationImages(images(augmentation=UNCHANGED), settings, seed=0)
    assert not torch.equal(plain.batches("a")[0], given.batches("a")[0])


@pytest.mark.parametrize(("n_images", "n_batches"), [(1, 1), (16, 1), (17, 2), (850, 6)])
def test_as_many_whole_batches_as_hold_the_images_or_as_there_are(images, n_images, n_batches):
    given = RecalibrationImages(images(), Recalibration(n_images=n_images, batch_size=16), seed=0)
    assert [len(batch) for batch in given.batches("a")] == [16] * n_batches


def test_fewer_images_than_a_batch_make_one_batch(images):
    given = RecalibrationImages(images(n=10), Recalibration(batch_size=64), seed=0)
    assert [len(batch) for batch in given.batches("a")] == [10]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"n_images": 0}, "n_images"), ({"momentum": 0.0}, "momentum"), ({"mode": "mean"}, "mode")],
)
def test_settings_out_of_range_are_refused_by_name(wrong, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        Recalibration(**wrong)


def test_shares_of_an_average_sum_to_one():
    assert np.sum(share_of_batches(Recalibration(), 7)) == pytest.approx(1)
