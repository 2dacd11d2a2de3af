"""Shifted copies of test images against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from raynas.data.dataset.digits import Digits
from raynas.data.images import ImageDataset, Split
from raynas.data.shifted import NAMES, shifted


def made(images, *, mean=(0.0,), std=(1.0,), scale=16):
    split = Split(images.astype(np.uint8), np.zeros(len(images), np.int64))
    return ImageDataset(train=split, valid=split, test=split, scale=scale, mean=mean, std=std, n_classes=1)


@pytest.fixture(scope="module")
def random():
    images = np.random.default_rng(0).integers(0, 17, (40, 1, 8, 8))
    return images, shifted(made(images))


def test_there_are_eight_copies_as_network_inputs(random):
    images, copies = random
    assert tuple(copies) == NAMES
    assert len(NAMES) == 8
    for copy in copies.values():
        assert copy.shape == images.shape
        assert copy.dtype == np.float32


def test_a_move_is_by_one_pixel_and_fills_with_black(random):
    images, copies = random
    pixels = (images / 16).astype(np.float32)
    np.testing.assert_array_equal(copies["up"][:, :, :-1], pixels[:, :, 1:])
    np.testing.assert_array_equal(copies["down"][:, :, 1:], pixels[:, :, :-1])
    np.testing.assert_array_equal(copies["left"][..., :-1], pixels[..., 1:])
    np.testing.assert_array_equal(copies["right"][..., 1:], pixels[..., :-1])
    edges = {"up": np.s_[:, :, -1], "down": np.s_[:, :, 0], "left": np.s_[..., -1], "right": np.s_[..., 0]}
    for name, edge in edges.items():
        assert not copies[name][edge].any(), name


def test_a_pale_copy_has_seven_tenths_of_the_contrast_and_black_stays_black(random):
    images, copies = random
    np.testing.assert_allclose(copies["pale"], 0.7 * images / 16, rtol=1e-6)
    assert not copies["pale"][images == 0].any()


def test_normalisation_comes_last(random):
    images, plain = random
    normalised = shifted(made(images, mean=(0.3,), std=(0.5,)))
    for name in NAMES:
        np.testing.assert_allclose(normalised[name], (plain[name] - 0.3) / 0.5, rtol=1e-5, atol=1e-6)


def rows_and_columns(side):
    return np.mgrid[:side, :side] - (side - 1) / 2


def test_turning_leaves_what_is_the_same_from_all_sides():
    """A cone, which linear interpolation reproduces up to its curvature."""
    side = 33
    rows, columns = rows_and_columns(side)
    cone = np.maximum(0, 240 - 16 * np.hypot(rows, columns))
    copies = shifted(made(cone[None, None], scale=255))
    inside = np.hypot(rows, columns) < 13
    for name in ("turned_left", "turned_right"):
        np.testing.assert_allclose(copies[name][0, 0][inside], cone[inside] / 255, atol=0.02)


def test_left_and_right_turns_are_by_twenty_degrees_in_opposite_senses():
    """A linear ramp turned about the centre is the ramp along the turned axis, exactly."""
    side = 21
    rows, columns = rows_and_columns(side)
    copies = shifted(made((100 + 8 * columns)[None, None], scale=255))
    inside = np.hypot(rows, columns) < 9
    angle = np.deg2rad(20)
    slopes = {}
    for name in ("turned_left", "turned_right"):
        values = copies[name][0, 0][inside] * 255
        design = np.stack([np.ones(inside.sum()), columns[inside], rows[inside]], axis=1)
        (level, across, down), residuals, *_ = np.linalg.lstsq(design, values, rcond=None)
        assert residuals.max() < 1e-2
        assert level == pytest.approx(100, abs=1e-3)
        assert across == pytest.approx(8 * np.cos(angle), abs=1e-3)
        slopes[name] = down
    # rows run downwards: turned to the left, what was on the right is above
    assert slopes["turned_left"] == pytest.approx(-8 * np.sin(angle), abs=1e-3)
    assert slopes["turned_right"] == pytest.approx(8 * np.sin(angle), abs=1e-3)


def test_corners_that_a_turn_uncovers_are_black():
    copies = shifted(made(np.full((1, 1, 9, 9), 16)))
    for name in ("turned_left", "turned_right"):
        assert copies[name][0, 0, 0, 0] == 0
        assert copies[name][0, 0, 4, 4] == pytest.approx(1)


def test_noise_has_its_deviation_and_stays_in_the_range_of_pixels():
    grey = shifted(made(np.full((400, 1, 8, 8), 8)))["noisy"]
    assert grey.min() >= 0
    assert grey.max() <= 1
    assert grey.mean() == pytest.approx(0.5, abs=0.005)
    # clipping at 2.5 deviations narrows 0.2 by a factor of 0.985
    assert grey.std() == pytest.approx(0.197, abs=0.003)
    black = shifted(made(np.zeros((400, 1, 8, 8))))["noisy"]
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.01)


def test_copies_are_the_same_every_time_and_the_dataset_stays_as_it_was(random):
    images, copies = random
    before = images.copy()
    again = shifted(made(images))
    assert all(np.array_equal(copies[name], again[name]) for name in NAMES)
    np.testing.assert_array_equal(images, before)


def test_of_the_digits_every_test_image_has_its_copies():
    data = Digits().load()
    copies = shifted(data)
    plain = (data.test.images / data.scale - data.mean[0]) / data.std[0]
    for name in NAMES:
        assert copies[name].shape == plain.shape
        assert np.isfinite(copies[name]).all()
        assert np.abs(copies[name] - plain).mean() > 0.05, "each of them is shifted"
