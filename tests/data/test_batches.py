"""Batches: every image once an epoch, the same draws on every device, augmentation against a plain loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.data.batches import EvaluationBatches, RandomBatches, TrainingBatches, augmented, drawn
from raynas.data.device import on_device, resident
from raynas.data.images import Augmentation, ImageDataset, Split
from raynas.errors import InputError

torch.set_num_threads(1)

BOTH = Augmentation(flip=True, crop_pad=2)


def dataset(n=11, shape=(3, 4, 5)):
    rng = np.random.default_rng(0)

    def split(n):
        return Split(rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n))

    mean, std = (0.5, 0.4, 0.3)[: shape[0]], (0.2, 0.3, 0.4)[: shape[0]]
    return ImageDataset(split(n), split(n), split(n), 255, mean, std, n_classes=n)


@pytest.fixture
def train():
    return on_device(dataset(), "cpu").train


def epoch(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_an_epoch_shows_every_image_once_with_its_label(train):
    images, labels = epoch(TrainingBatches(train, batch_size=4, order_seed=0))
    assert sorted(labels.tolist()) == list(range(11))
    torch.testing.assert_close(images, train.normalized(train.images[labels]), rtol=0, atol=0)


def test_normalising_is_division_by_scale_minus_mean_over_deviation(train):
    data = dataset()
    due = (data.train.images / 255 - np.reshape(data.mean, (3, 1, 1))) / np.reshape(data.std, (3, 1, 1))
    np.testing.assert_allclose(train.normalized(train.images), due, atol=1e-6)


def test_epochs_differ_and_equal_seeds_agree(train):
    first, second = (TrainingBatches(train, batch_size=4, order_seed=7) for _ in range(2))
    orders = [epoch(first)[1].tolist() for _ in range(3)]
    assert orders == [epoch(second)[1].tolist() for _ in range(3)]
    assert len(set(map(tuple, orders))) == 3


def test_augmentation_does_not_disturb_the_order(train):
    plain = TrainingBatches(train, batch_size=4, order_seed=7)
    changed = TrainingBatches(train, batch_size=4, order_seed=7, augmentation=BOTH, augmentation_seed=1)
    for _ in range(2):
        assert epoch(plain)[1].tolist() == epoch(changed)[1].tolist()


@pytest.mark.parametrize(
    ("n", "drop_last", "sizes"), [(11, False, [4, 4, 3]), (11, True, [4, 4]), (8, True, [4, 4])]
)
def test_the_last_batch_is_smaller_or_left_out(n, drop_last, sizes):
    split = on_device(dataset(n), "cpu").train
    batches = TrainingBatches(split, batch_size=4, order_seed=0, drop_last=drop_last)
    assert [len(labels) for _, labels in batches] == sizes
    assert len(batches) == len(sizes)


def test_no_whole_batch_and_no_size_are_refused(train):
    with pytest.raises(ValueError, match="batch_size: 12 of 11 images leaves no whole batch"):
        TrainingBatches(train, batch_size=12, order_seed=0, drop_last=True)
    for make in (
        lambda: TrainingBatches(train, batch_size=0, order_seed=0),
        lambda: EvaluationBatches(train, batch_size=0),
    ):
        with pytest.raises(ValueError, match="batch_size: 0; due is 1 or more"):
            make()


@pytest.mark.parametrize("interrupted", range(4))
def test_a_restored_state_goes_on_bit_for_bit(train, interrupted):
    def fresh(seed):
        return TrainingBatches(
            train, batch_size=4, order_seed=seed, augmentation=BOTH, augmentation_seed=seed + 1
        )

    whole, cut, restored = fresh(0), fresh(0), fresh(99)
    due = [epoch(whole) for _ in range(4)]
    for _ in range(interrupted):
        epoch(cut)
    restored.load_state_dict(cut.state_dict())
    for images, labels in due[interrupted:]:
        found_images, found_labels = epoch(restored)
        assert torch.equal(found_images, images)
        assert torch.equal(found_labels, labels)


def test_evaluation_keeps_the_order_and_changes_nothing(train):
    batches = EvaluationBatches(train, batch_size=4)
    images, labels = epoch(batches)
    assert labels.tolist() == list(range(11))
    assert torch.equal(images, train.normalized(train.images))
    assert len(batches) == 3


def test_iterating_leaves_the_global_random_state_alone(train):
    before = torch.get_rng_state()
    epoch(TrainingBatches(train, batch_size=4, order_seed=0, augmentation=BOTH))
    assert torch.equal(torch.get_rng_state(), before)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    pad=st.integers(0, 3),
    flip=st.booleans(),
    side=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_flip_then_crop_equals_a_loop_over_images(seed, pad, flip, side):
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 256, (6, 2, *side), dtype=np.uint8)
    flips = rng.integers(0, 2, 6).astype(bool)
    offsets = rng.integers(0, 2 * pad + 1, (6, 2))
    due = []
    for image, mirrored, (top, left) in zip(images, flips & flip, offsets, strict=True):
        turned = image[:, :, ::-1] if mirrored else image
        padded = np.pad(turned, ((0, 0), (pad, pad), (pad, pad)))
        due.append(padded[:, top : top + side[0], left : left + side[1]])
    found = augmented(
        torch.tensor(images),
        flips=torch.tensor(flips) if flip else None,
        offsets=torch.tensor(offsets) if pad else None,
        crop_pad=pad,
    )
    np.testing.assert_array_equal(found, np.stack(due))


def test_every_window_and_both_sides_are_drawn_about_equally_often():
    numbers, cpu = torch.Generator().manual_seed(0), torch.device("cpu")
    _, offsets = drawn(Augmentation(crop_pad=1), 5000, numbers, cpu)
    windows = torch.bincount(3 * offsets[:, 0] + offsets[:, 1], minlength=9)
    chi_squared = ((windows - 5000 / 9) ** 2 / (5000 / 9)).sum()
    assert chi_squared < 26.1, "p = 0.001 at 8 degrees of freedom"
    flips, _ = drawn(Augmentation(flip=True), 5000, numbers, cpu)
    assert abs(int(flips.sum()) - 2500) < 117, "p = 0.001"


def test_padding_is_black_before_normalisation():
    """Padding after normalisation would fill with the mean colour instead, as no published recipe does."""
    split = on_device(dataset(n=64), "cpu").train
    images, _ = epoch(
        TrainingBatches(split, batch_size=64, order_seed=0, augmentation=Augmentation(crop_pad=4))
    )
    black = split.normalized(torch.zeros(1, 3, 4, 5, dtype=torch.uint8))
    cropped_away = (images == black).all(dim=1).flatten(1).float().mean()
    assert cropped_away > 0.3


@dataclass(frozen=True)
class Counted:
    name: str

    def problems(self):
        return iter(())

    def load(self):
        LOADED.append(self.name)
        return dataset()


LOADED: list[str] = []


def test_a_resident_dataset_is_loaded_once_and_the_cache_is_bounded():
    LOADED.clear()
    first = resident(Counted("a"), "cpu")
    assert resident(Counted("a"), "cpu") is first
    assert LOADED == ["a"]
    for name in "bcd":
        resident(Counted(name), "cpu")
    resident(Counted("a"), "cpu")
    assert LOADED == ["a", "b", "c", "d", "a"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_the_same_batches_as_the_cpu():
    found = [
        epoch(
            TrainingBatches(on_device(dataset(), device).train, batch_size=4, order_seed=3, augmentation=BOTH)
        )
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(found[1][0].cpu(), found[0][0])
    assert torch.equal(found[1][1].cpu(), found[0][1])


@pytest.mark.parametrize("device", ["gpu", "cuda:4321"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(InputError, match=f"device {device}: PyTorch cannot use it: .*; use cpu, or another"):
        on_device(dataset(), device)


def test_random_batches_hold_different_images_and_every_image_about_equally_often():
    split = on_device(dataset(n=40), "cpu").train
    seen = torch.zeros(40)
    pixels = split.normalized(split.images).flatten(1)
    for images, labels in RandomBatches(split, batch_size=8, seed=0).take(500):
        places = [int((pixels == image).all(1).nonzero()[0]) for image in images.flatten(1)]
        assert len(set(places)) == 8
        assert torch.equal(split.labels[places], labels)
        seen[places] += 1
    # an image is in a batch with probability 1/5; p = 0.001 at 39 degrees of freedom is 72.1
    assert ((seen - 100) ** 2 / 80).sum() * 39 / 40 < 72.1


def test_random_batches_go_on_where_their_state_was_taken():
    split = on_device(dataset(n=40), "cpu").train
    first, second = (
        RandomBatches(split, batch_size=8, seed=seed, augmentation=Augmentation(flip=True, crop_pad=1))
        for seed in (0, 1)
    )
    list(first.take(3))
    second.load_state_dict(first.state_dict())
    for (images, labels), (again, same) in zip(first.take(4), second.take(4), strict=True):
        assert torch.equal(images, again)
        assert torch.equal(labels, same)


def test_a_random_batch_larger_than_the_split_is_the_split():
    split = on_device(dataset(n=5), "cpu").train
    ((_, labels),) = RandomBatches(split, batch_size=64, seed=0).take(1)
    assert sorted(labels.tolist()) == sorted(split.labels.tolist())
