"""The dataset components, each on files in its original format that the tests write themselves."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest

from raynas.data.dataset import cifar10, cifar100, imagenet16_120
from raynas.data.dataset.digits import Digits
from raynas.data.image_files import folder
from raynas.errors import InputError
from raynas.lookup import available, build

SLOT = "raynas.data.dataset"
FROM_FILES = sorted(set(available(SLOT)) - {"digits", "npz"})


@pytest.fixture(scope="module")
def digits():
    return Digits().load()


def rows(n, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3 * side * side), dtype=np.uint8)


def write(path, content, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.fixture
def cifar10_root(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "N_IMAGES_PER_FILE", 20)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for seed, name in enumerate(names):
        write(
            tmp_path / cifar10.FOLDER / name,
            {"data": rows(20, 32, seed), "labels": [i % 10 for i in range(20)]},
        )
    return tmp_path


@pytest.fixture
def cifar100_root(tmp_path, monkeypatch):
    for name, n in (("train", 300), ("test", 400)):
        monkeypatch.setattr(cifar100, f"N_{name.upper()}", n)
        labels = [i % 100 for i in range(n)]
        write(
            tmp_path / cifar100.FOLDER / name,
            {"data": rows(n, 32), "fine_labels": labels, "coarse_labels": [0] * n},
        )
    return tmp_path


@pytest.fixture
def imagenet16_root(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet16_120, "N_TRAIN", 240)
    monkeypatch.setattr(imagenet16_120, "N_HELD_OUT", 480)
    for i in range(1, 11):
        labels = [*range(12 * i - 11, 12 * i + 1)] * 2 + [121, 1000]
        write(tmp_path / "ImageNet16" / f"train_data_batch_{i}", {"data": rows(26, 16, i), "labels": labels})
    labels = [*range(1, 121)] * 4 + [500] * 7
    write(tmp_path / "ImageNet16" / "val_data", {"data": rows(len(labels), 16), "labels": labels})
    return tmp_path


# Digits


def test_digits_have_the_documented_sizes_and_class_counts(digits):
    counts = {name: np.bincount(getattr(digits, name).labels).tolist() for name in ("train", "valid", "test")}
    assert counts == {
        "train": [59, 61, 59, 61, 61, 61, 60, 60, 58, 60],
        "valid": [50, 50, 49, 51, 50, 51, 51, 50, 48, 50],
        "test": [69, 71, 69, 71, 70, 70, 70, 69, 68, 70],
    }
    assert digits.image_shape == (1, 8, 8)
    assert digits.train.images.max() == digits.scale == 16


def test_digits_are_split_as_they_always_were(digits):
    """The embedded table was trained on these very images; with others it would say nothing of them."""
    sums = [zlib.crc32(split.images.tobytes()) for split in (digits.train, digits.valid, digits.test)]
    assert sums == [1636586315, 4081042241, 1619751854]


def test_digits_are_all_there_once(digits):
    from sklearn.datasets import load_digits

    images = np.concatenate([s.images for s in (digits.train, digits.valid, digits.test)]).reshape(1797, 64)
    assert sorted(map(bytes, images)) == sorted(map(bytes, load_digits().data.astype(np.uint8)))


def test_digits_training_pixels_normalise_to_mean_zero_and_deviation_one(digits):
    pixels = (digits.train.images / digits.scale - digits.mean[0]) / digits.std[0]
    assert pixels.mean() == pytest.approx(0, abs=1e-12)
    assert pixels.std() == pytest.approx(1)


# CIFAR-10


def test_cifar10_trains_and_validates_on_disjoint_halves(cifar10_root):
    data = cifar10.Cifar10(root=str(cifar10_root)).load()
    assert (len(data.train), len(data.valid), len(data.test)) == (50, 50, 20)
    assert not set(map(bytes, data.train.images)) & set(map(bytes, data.valid.images))


def test_cifar10_halves_are_in_file_order_and_pixels_channel_by_channel(cifar10_root):
    data = cifar10.Cifar10(root=str(cifar10_root), split="halves").load()
    np.testing.assert_array_equal(data.train.images[:20], rows(20, 32, 0).reshape(20, 3, 32, 32))
    np.testing.assert_array_equal(data.valid.images[-20:], rows(20, 32, 4).reshape(20, 3, 32, 32))
    np.testing.assert_array_equal(data.test.images, rows(20, 32, 5).reshape(20, 3, 32, 32))
    np.testing.assert_array_equal(data.valid.labels[-20:], [i % 10 for i in range(20)])


def test_cifar10_normalises_with_the_figures_of_autodl(cifar10_root):
    data = cifar10.Cifar10(root=str(cifar10_root)).load()
    assert np.multiply(data.mean, 255) == pytest.approx([125.3, 123.0, 113.9])
    assert np.multiply(data.std, 255) == pytest.approx([63.0, 62.1, 66.7])
    assert (data.augmentation.flip, data.augmentation.crop_pad) == (True, 4)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split: 'half'; due is one of nas_bench_201, halves"):
        cifar10.Cifar10(split="half")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"data": rows(19, 32), "labels": [0] * 19}, "holds 19 images; due are 20"),
        ({"data": rows(20, 16), "labels": [0] * 20}, r"data is uint8 \(20, 768\); due are 20 rows of 3072"),
        ({"data": rows(20, 32).astype(float), "labels": [0] * 20}, "data is float64"),
        ({"data": rows(20, 32), "labels": [0] * 19}, r"labels is int64 \(19,\) for 20 images"),
        ({"data": rows(20, 32), "labels": [0] * 19 + [10]}, "labels from 0 to 10; due is 0 to 9"),
        ({"data": rows(20, 32), "fine_labels": [0] * 20}, "lacks labels, it has data, fine_labels"),
        ([1, 2], "holds a list; due is a dict"),
    ],
)
def test_a_foreign_file_is_named_with_what_came_and_what_was_due(cifar10_root, content, said):
    path = cifar10_root / cifar10.FOLDER / "data_batch_3"
    write(path, content)
    with pytest.raises(InputError, match=said) as caught:
        cifar10.Cifar10(root=str(cifar10_root)).load()
    assert str(path) in str(caught.value)


def test_a_truncated_file_is_named(cifar10_root):
    path = cifar10_root / cifar10.FOLDER / "test_batch"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"test_batch: not a whole pickle of plain data .*1,000 bytes"):
        cifar10.Cifar10(root=str(cifar10_root)).load()


# CIFAR-100 and ImageNet16-120


def test_cifar100_validates_and_tests_on_halves_of_every_class(cifar100_root):
    data = cifar100.Cifar100(root=str(cifar100_root)).load()
    assert (len(data.train), len(data.valid), len(data.test)) == (300, 200, 200)
    assert set(np.bincount(data.valid.labels)) == set(np.bincount(data.test.labels)) == {2}
    assert data.n_classes == 100


def test_imagenet16_keeps_the_first_120_classes_and_labels_them_from_0(imagenet16_root):
    data = imagenet16_120.ImageNet16120(root=str(imagenet16_root)).load()
    assert (len(data.train), len(data.valid), len(data.test)) == (240, 240, 240)
    assert data.image_shape == (3, 16, 16)
    for split in (data.train, data.valid, data.test):
        assert np.bincount(split.labels).tolist() == [2] * 120
    np.testing.assert_array_equal(
        data.train.images[:24], rows(26, 16, 1)[:24].reshape(24, 3, 16, 16), "pixels stay with their labels"
    )


def test_imagenet16_of_another_size_is_refused(imagenet16_root, monkeypatch):
    monkeypatch.setattr(imagenet16_120, "N_TRAIN", 241)
    with pytest.raises(InputError, match=r"240 images of the first 120 classes; due are 241"):
        imagenet16_120.ImageNet16120(root=str(imagenet16_root)).load()


# The slot


@pytest.mark.parametrize("name", FROM_FILES)
def test_missing_files_are_one_problem_of_the_root_and_an_error_of_loading(name, tmp_path):
    dataset = build(SLOT, name, root=str(tmp_path))
    [(field, message)] = dataset.problems()
    assert field == "root"
    assert str(tmp_path) in message
    assert "RAYNAS_DATA" in message
    with pytest.raises(InputError, match="No such file"):
        dataset.load()


@pytest.mark.parametrize("name", available(SLOT))
def test_equal_options_make_equal_hashable_components(name):
    options = {"path": "x.npz"} if name == "npz" else {}
    assert {build(SLOT, name, **options)} == {build(SLOT, name, **options)}


def test_files_that_are_there_are_no_problem(cifar10_root, monkeypatch):
    monkeypatch.setenv("RAYNAS_DATA", str(cifar10_root))
    assert list(cifar10.Cifar10().problems()) == []
    assert list(Digits().problems()) == []


def test_the_root_is_looked_up_when_it_is_used_so_machines_may_differ(monkeypatch):
    dataset = cifar10.Cifar10()
    monkeypatch.setenv("RAYNAS_DATA", "/there")
    assert str(folder(dataset.root)) == "/there"
    monkeypatch.delenv("RAYNAS_DATA")
    assert str(folder(dataset.root)) == "data"


def test_components_load_neither_torch_nor_scikit_learn():
    names = ", ".join(f"{SLOT}.{name}" for name in available(SLOT))
    program = f"import sys, {names}; sys.exit(bool({{'torch', 'sklearn'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
