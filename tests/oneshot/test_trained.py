"""A trained supernet's directory: what is in it, where it is found, and how what is amiss is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch

from raynas.data.dataset.cifar10 import Cifar10
from raynas.data.dataset.digits import Digits
from raynas.errors import InputError
from raynas.oneshot.about import ABOUT, DATASETS, WEIGHTS, find, plain, read_about
from raynas.oneshot.trained import files, load
from raynas.spaces import get_space
from raynas.storage import folder
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.workloads.score_subnet import ScoreSubnet

SKELETON = NasBench201(channels=4, cells=1, stages=2)


@pytest.fixture
def supernet(trained):
    return trained(SKELETON)


@pytest.fixture
def place(supernet, tmp_path):
    """A directory that holds the supernet."""
    write(supernet, tmp_path / "supernet")
    return tmp_path / "supernet"


def write(supernet, place):
    place.mkdir(parents=True)
    for name, content in files(supernet.about, supernet.initial, supernet.network()).items():
        (place / name).write_bytes(content)


def test_what_is_written_is_read_back(supernet, place):
    found = load(str(place))
    assert found.about.skeleton == {"name": "nas_bench_201", "channels": 4, "cells": 1, "stages": 2}
    assert found.about.image_shape == (1, 8, 8)
    for part in ("initial", "weights"):
        assert getattr(found, part).keys() == getattr(supernet, part).keys()
        assert all(
            torch.equal(tensor, getattr(supernet, part)[name])
            for name, tensor in getattr(found, part).items()
        )
    network = found.network()
    assert not network.training
    assert all(torch.equal(part, supernet.weights[name]) for name, part in network.named_parameters())
    assert all(torch.equal(part, supernet.buffers[name]) for name, part in network.named_buffers())


def test_a_supernet_is_read_once_a_process_until_another_lies_there(place, trained):
    first = load(str(place))
    assert load(folder(str(place))) is first
    shutil.rmtree(place)
    write(trained(NasBench201(channels=2, cells=1)), place)
    assert load(str(place)).about.skeleton["channels"] == 2


def test_equal_trainings_have_equal_fingerprints(supernet, place):
    again = files(supernet.about, supernet.initial, supernet.network())
    assert json.loads(again[ABOUT])["fingerprint"] == read_about(str(place)).fingerprint
    moved = {name: part + 1 for name, part in supernet.initial.items()}
    other = files(supernet.about, moved, supernet.network())
    assert json.loads(other[ABOUT])["fingerprint"] != read_about(str(place)).fingerprint


def test_it_is_described_without_pytorch(place):
    code = (
        f"from raynas.oneshot.about import find, read_about; read_about(find({str(place)!r})[0]); "
        "import raynas.oneshot.settings, sys; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_supernets_of_a_run_are_found_in_the_order_of_its_trials(supernet, tmp_path):
    run = tmp_path / "run"
    for key in ("10", "2", "0"):
        write(supernet, run / "artifacts" / key)
    (run / "artifacts" / "3").mkdir()
    found = find(str(run))
    assert [one.uri.rpartition("/")[2] for one in found] == ["0", "2", "10"]
    assert [one.uri for one in find(found[1])] == [found[1].uri]
    assert load(found[0]).about == load(found[2]).about


def test_a_remote_supernet_is_copied_once(place, monkeypatch, tmp_path):
    """An in-memory file system stands for an object store."""
    from raynas import storage
    from raynas.oneshot import about, trained

    read = []

    class Remote:
        uri = root = "mock://bucket/supernet"

        def names(self):
            return [ABOUT, WEIGHTS]

        def read(self, name):
            read.append(name)
            return (place / name).read_bytes()

    for module in (storage, trained, about):
        monkeypatch.setattr(module, "folder", lambda uri: Remote())
    monkeypatch.setattr(trained.tempfile, "gettempdir", lambda: str(tmp_path))
    trained._of_fingerprint.cache_clear()
    first = load(Remote())
    trained._of_fingerprint.cache_clear()
    again = load(Remote())
    assert read.count(WEIGHTS) == 1
    assert all(torch.equal(part, again.weights[name]) for name, part in first.weights.items())


# What is amiss


def test_a_place_without_a_supernet_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}: no trained supernet there; give"):
        find(str(tmp_path))
    with pytest.raises(InputError, match="no trained supernet there"):
        find(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"about.json: no such file"):
        read_about(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": 1, "spa', "is torn or no JSON"),
        (b"\xff\xfe", "is torn or no JSON"),
        (b'{"name": "me"}', "does not describe a supernet"),
        (b"[1, 2]", "does not describe a supernet"),
    ],
)
def test_a_torn_or_foreign_description_is_refused(place, content, message):
    (place / ABOUT).write_bytes(content)
    with pytest.raises(InputError, match=rf"about.json: {message}"):
        read_about(str(place))


@pytest.mark.parametrize("field", ["image_shape", "skeleton", "dataset"])
@pytest.mark.parametrize("value", [None, 3, {}])
def test_a_description_with_a_field_of_another_form_is_refused(place, field, value):
    found = json.loads((place / ABOUT).read_text())
    (place / ABOUT).write_text(json.dumps(found | {field: value}))
    with pytest.raises(InputError, match=r"about.json: does not describe a supernet"):
        read_about(str(place))


def test_another_version_is_refused(place):
    found = json.loads((place / ABOUT).read_text())
    (place / ABOUT).write_text(json.dumps(found | {"format": 99}))
    with pytest.raises(InputError, match="is of format 99, and this raynas reads format 1"):
        load(str(place))


def test_torn_or_foreign_weights_are_refused(place):
    whole = (place / WEIGHTS).read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-1] + b"x", b""):
        (place / WEIGHTS).write_bytes(content)
        with pytest.raises(InputError, match=r"weights.pt: is torn, or of another training"):
            load(str(place))
        assert "weights.pt: is torn" in found_by_a_check(place)
    (place / WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"weights.pt: no such file"):
        load(str(place))
    assert "no trained supernet there" in found_by_a_check(place)


def found_by_a_check(place):
    """What is said of a supernet before anything is run."""
    ((field, message),) = ScoreSubnet().supernet_problems(str(place), get_space("nas_bench_201"), Digits())
    assert field == "supernet"
    return message


def test_whole_weights_pass_the_check(place):
    assert not list(ScoreSubnet().supernet_problems(str(place), get_space("nas_bench_201"), Digits()))


def test_weights_of_another_network_are_refused(trained, supernet):
    other = trained(NasBench201(channels=8, cells=1, stages=2))
    mixed = type(supernet)(supernet.about, other.initial, other.weights, other.buffers)
    with pytest.raises(InputError, match=r"does not belong to its about.json: size mismatch for"):
        mixed.network()


def test_a_supernet_of_another_space_skeleton_or_dataset_is_refused(supernet):
    about = supernet.about
    about.require(space="nas_bench_201", skeleton=SKELETON, dataset=Digits(), at="runs/one")
    with pytest.raises(
        InputError, match=r"runs/one: a supernet of search space nas_bench_201, not darts; use"
    ):
        about.require(space="darts", at="runs/one")
    with pytest.raises(InputError, match=r"skeleton \{name: nas_bench_201, channels: 4.*, not .*channels: 8"):
        about.require(skeleton=NasBench201(channels=8, cells=1, stages=2))
    with pytest.raises(InputError, match=r"skeleton .* not \{name: darts"):
        about.require(skeleton=Darts())
    with pytest.raises(InputError, match=r"trained on dataset \{name: digits\}, not \{name: cifar10"):
        about.require(dataset=Cifar10())


def test_where_a_datasets_files_lie_does_not_matter_but_its_split_does(supernet):
    from dataclasses import replace

    about = replace(supernet.about, dataset=plain(DATASETS, Cifar10(root="/here")))
    about.require(dataset=Cifar10(root="/there"))
    with pytest.raises(InputError, match="split: nas_bench_201"):
        about.require(dataset=Cifar10(split="halves"))


def test_storage_that_cannot_be_reached_is_named():
    class Away:
        uri = "s3://no-such-bucket/run"

        def names(self):
            raise OSError("NoSuchBucket")

        def read(self, name):
            raise OSError("NoSuchBucket")

    with pytest.raises(InputError, match="s3://no-such-bucket/run: cannot be read: NoSuchBucket"):
        find(Away())
    with pytest.raises(InputError, match=r"s3://no-such-bucket/run/about.json: cannot be read"):
        read_about(Away())
