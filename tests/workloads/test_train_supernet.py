"""The training of a supernet as a workload: reports, checkpoints, what a step moves, what it leaves."""

from __future__ import annotations

import json
import math
import pickle

import pytest
import torch

from raynas.config import load_text, override
from raynas.data.dataset.digits import Digits
from raynas.data.device import resident
from raynas.errors import InputError, RaynasError
from raynas.oneshot.trained import load
from raynas.search.asktell import Proposal
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.supernets.snapshot import copied
from raynas.trial import Diverged, Trial
from raynas.workloads.train_supernet import TrainSupernet

CONFIG = """\
search_space: nas_bench_201
dataset: digits
workload:
  name: train_supernet
  skeleton: {name: nas_bench_201, channels: 4, cells: 1, stages: 2}
  epochs: 4
  batch_size: 16
  max_batches: 3
report: {metric: valid_accuracy_pct}
"""
DARTS = ["search_space=darts_s2", "workload.skeleton={name: darts, channels: 2, layers: 3, affine: true}"]


def start(*overrides, text=CONFIG):
    experiment = load_text(text, source="x.yaml", overrides=[override(item) for item in overrides])
    return experiment.workload.start(experiment.trial(Proposal(0, None)))


def small(**options):
    settings = TrainSupernet(**{"skeleton": NasBench201(4, cells=1), "epochs": 2, "max_batches": 2} | options)
    return settings.start(Trial("nas_bench_201", None, Digits(), seed=0))


def reports(training):
    found = []
    while not training.done:
        found.append(training.step())
    return found


def deterministic(report):
    """All that does not hang on the machine."""
    return {name: value for name, value in report.metrics.items() if name != "peak_memory_mb"}, report.epoch


def test_every_epoch_is_reported():
    found = reports(start())
    assert [report.epoch for report in found] == [1, 2, 3, 4]
    for report in found:
        assert set(report.metrics) == set(TrainSupernet.metrics)
        assert all(math.isfinite(value) for value in report.metrics.values())
        assert 0 <= report.metrics["train_accuracy_pct"] <= 100
        assert report.metrics["peak_memory_mb"] > 0
        assert report.cost_s > 0


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["workload.share_across_cells=true"],
        ["workload.labels=random", "workload.label_smoothing=0.1"],
        DARTS,
    ],
    ids=["nas_bench_201", "one cell in all places", "random labels", "darts"],
)
def test_a_training_goes_on_from_its_checkpoint_bit_for_bit(overrides):
    training = start(*overrides)
    whole = reports(training)
    first = start(*overrides)
    for _ in range(2):
        first.step()
    saved = pickle.loads(pickle.dumps(first.state_dict()))
    second = start(*overrides)
    second.load_state_dict(saved)
    assert list(map(deterministic, reports(second))) == list(map(deterministic, whole[2:]))
    assert second.artifacts() == training.artifacts()


def test_a_checkpoint_of_another_training_is_refused():
    saved = start().state_dict()
    with pytest.raises(RaynasError, match="of another training"):
        start("workload.lr=0.1").load_state_dict(saved)


@pytest.mark.parametrize(("schedule", "middle"), [("cosine", 0.013), ("linear", 0.013)])
def test_the_learning_rate_falls_with_every_step_to_its_end(schedule, middle):
    settings = TrainSupernet(schedule=schedule)
    assert [settings.lr_at(share) for share in (0, 0.5, 1)] == pytest.approx([0.025, middle, 0.001])
    training = small(schedule=schedule, epochs=2, max_batches=5)
    rates = [training._lr(step) for step in range(5)]
    assert rates == pytest.approx([settings.lr_at(step / 10) for step in range(5)])
    found = [report.metrics["learning_rate"] for report in reports(training)]
    assert found == pytest.approx([settings.lr_at(0), settings.lr_at(0.5)])


def test_weights_off_the_paths_stay_as_they_are():
    """Weight decay and momentum too move the weights of a step's own path alone."""
    training = small(skeleton=NasBench201(4, cells=1), epochs=1, max_batches=1, weight_decay=0.1)
    before = {name: part.clone() for name, part in training._supernet.named_parameters()}
    training.step()
    moved = {
        name for name, part in training._supernet.named_parameters() if not torch.equal(part, before[name])
    }
    fixed = {name for name in before if "edges" not in name}
    assert fixed <= moved
    in_edges = {name.partition(".candidates")[0] for name in moved - fixed}
    assert len(in_edges) == len(moved - fixed) <= 18  # one operation an edge, of three cells
    assert len(moved) < len(before)


def test_images_labels_and_noise_hang_on_the_seed_alone():
    first, second = (deterministic(small().step()) for _ in range(2))
    assert first == second
    other = TrainSupernet(skeleton=NasBench201(4, cells=1), epochs=2, max_batches=2)
    moved = other.start(Trial("nas_bench_201", None, Digits(), seed=1)).step()
    assert deterministic(moved) != first


def test_only_training_images_are_trained_on_and_random_labels_are_uniform():
    data = resident(Digits(), "cpu")
    labels = small(labels="random")._batches._split.labels
    assert not torch.equal(labels, data.train.labels)
    assert torch.bincount(labels, minlength=10).min() > 30
    split = small()._batches._split
    assert split is data.train


def test_label_smoothing_spreads_the_label_in_training_and_not_in_the_report():
    plain, smooth = (small(label_smoothing=share, epochs=1, max_batches=1) for share in (0.0, 0.5))
    first, second = plain.step(), smooth.step()
    assert first.metrics["train_loss"] == second.metrics["train_loss"]
    assert first.metrics["valid_loss"] != second.metrics["valid_loss"]


def test_clipping_bounds_what_a_step_moves():
    training = small(clip=1e-2, weight_decay=0.0, epochs=1, max_batches=1)
    before = copied(dict(training._supernet.named_parameters()))
    training.step()
    after = copied(dict(training._supernet.named_parameters()))
    moved = math.sqrt(sum(float(((part - before[name]) ** 2).sum()) for name, part in after.items()))
    # the first step of Nesterov's momentum is 1.9 times that of the gradient
    assert moved == pytest.approx(0.025 * 1.9 * 1e-2, rel=1e-3)


def test_a_short_training_of_digits_learns():
    training = TrainSupernet(
        skeleton=NasBench201(8, cells=1, stages=1), epochs=8, batch_size=32, lr=0.1
    ).start(Trial("nas_bench_201", None, Digits(), seed=0))
    assert reports(training)[-1].metrics["valid_accuracy_pct"] > 30


def test_a_loss_that_is_no_number_is_a_divergence():
    with pytest.raises(Diverged, match="loss is"):
        reports(start("workload.lr=1e18"))


# What it leaves behind


@pytest.mark.parametrize("overrides", [[], DARTS], ids=["nas_bench_201", "darts"])
def test_the_trained_supernet_and_its_beginning_are_kept(overrides, tmp_path):
    training = start(*overrides)
    first = {name: part.clone() for name, part in training._supernet.named_parameters()}
    reports(training)
    for name, content in training.artifacts().items():
        (tmp_path / name).write_bytes(content)
    found = load(str(tmp_path))
    assert all(torch.equal(part, first[name]) for name, part in found.initial.items())
    last = dict(training._supernet.named_parameters())
    assert all(torch.equal(part, last[name]) for name, part in found.network().named_parameters())
    assert not all(torch.equal(part, first[name]) for name, part in last.items())


def test_a_supernets_description_says_what_it_was_trained_on():
    about = json.loads(small(labels="random").artifacts()["about.json"])
    assert about["space"] == about["kind"] == "nas_bench_201"
    assert about["skeleton"] == {"name": "nas_bench_201", "channels": 4, "cells": 1, "stages": 3}
    assert about["dataset"] == {"name": "digits"}
    assert (about["image_shape"], about["n_classes"], about["epochs"]) == ([1, 8, 8], 10, 2)
    assert (about["labels"], about["share_across_cells"], about["seed"]) == ("random", False, 0)


# What is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("valid_paths", 0),
        ("lr", 0.0),
        ("lr_min", 1.0),
        ("momentum", 1.0),
        ("weight_decay", -1.0),
        ("clip", 0.0),
        ("label_smoothing", 1.0),
        ("schedule", "step"),
        ("labels", "none"),
        ("precision", "float16"),
        ("max_batches", 0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field}: "):
        TrainSupernet(**{field: value})


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match=r"^nesterov: "):
        TrainSupernet(momentum=0.0)


def test_a_trial_without_a_dataset_is_refused():
    with pytest.raises(InputError, match="the trial has no dataset"):
        TrainSupernet().start(Trial("nas_bench_201", None, None, seed=0))


def test_a_skeleton_of_another_kind_of_space_is_refused():
    with pytest.raises(InputError, match="due are cells like those of DARTS"):
        start("workload.skeleton=darts")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_trains_on_a_gpu(precision):
    found = reports(start("tune.resources.gpu=1", f"workload.precision={precision}"))
    assert all(math.isfinite(value) for report in found for value in report.metrics.values())
