"""Training one architecture: it learns, repeats itself, goes on bit for bit, says when it diverges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from raynas.data.dataset.digits import Digits
from raynas.data.dataset.npz import Npz
from raynas.errors import InputError, RaynasError
from raynas.lookup import available, build
from raynas.spaces import get_space
from raynas.trial import Diverged, Trial
from raynas.workloads import _checkpoint
from raynas.workloads.train_architecture import TrainArchitecture

torch.set_num_threads(1)

SPACE = get_space("nas_bench_201")


def uniform(name):
    return SPACE.parse(f"|{name}~0|+|{name}~0|{name}~1|+|{name}~0|{name}~1|{name}~2|")


CONVOLUTIONS = uniform("nor_conv_3x3")
MIXED = SPACE.parse("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|")
TINY = TrainArchitecture(epochs=3, batch_size=16, channels=4, cells=1, stages=2)
TINY_ONE = TrainArchitecture(epochs=1, batch_size=16, channels=4, cells=1, stages=2)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    """48 coloured images that are flipped and cropped in training."""
    rng = np.random.default_rng(0)
    content = {}
    for split, n in (("train", 48), ("valid", 20), ("test", 30)):
        labels = np.arange(n) % 3
        images = rng.integers(0, 256, (n, 3, 6, 6), dtype=np.uint8)
        images[np.arange(n), labels] //= 4
        content |= {f"{split}_images": images, f"{split}_labels": labels}
    path = tmp_path_factory.mktemp("coloured") / "images.npz"
    np.savez(path, **content)
    return Npz(str(path), flip=True, crop_pad=1)


def trial(dataset, architecture=MIXED, **changes):
    return Trial("nas_bench_201", architecture, dataset, **{"seed": 0} | changes)


def run(training):
    reports = []
    while not training.done:
        reports.append(training.step())
    return reports


def same_weights(first, second):
    return all(
        torch.equal(first["weights"][k], second["weights"][k]) for k in first["weights"] | second["weights"]
    )


# What it computes


def test_stopping_part_of_the_way_reads_the_schedule_there(coloured):
    whole = TrainArchitecture(epochs=5, batch_size=16, channels=4, cells=1, stages=1)
    part = replace(whole, stop_after=3)
    long, short = run(whole.start(trial(coloured))), run(part.start(trial(coloured)))
    assert len(short) == 3
    for of_whole, of_part in zip(long[:3], short, strict=True):
        assert of_whole.metrics.items() <= of_part.metrics.items()
    assert "test_accuracy_pct" in short[-1].metrics


def test_a_limit_of_batches_bounds_what_an_epoch_sees(coloured):
    limited = replace(TINY_ONE, batch_size=8, eval_batch_size=8, max_batches=1)
    (report,) = run(limited.start(trial(coloured)))
    assert (report.metrics["train_accuracy_pct"] * 8 / 100).is_integer()
    assert (report.metrics["valid_accuracy_pct"] * 8 / 100).is_integer()


def test_every_metric_it_declares_is_reported_and_no_other(coloured):
    assert set(run(TINY_ONE.start(trial(coloured)))[-1].metrics) == set(TrainArchitecture.metrics)


@pytest.mark.parametrize("change", [{"stop_after": 4}, {"stop_after": 0}, {"max_batches": 0}])
def test_limits_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(TINY, **change)


def test_a_space_of_other_cells_is_refused_when_the_configuration_is_checked():
    assert not list(TINY.problems(SPACE))
    ((field, message),) = TINY.problems(get_space("darts_s5"))
    assert field == "name"
    assert "darts_s5 is of kind 'darts'" in message


def test_a_cell_of_convolutions_learns_the_digits():
    spec = TrainArchitecture(epochs=6, batch_size=32, channels=8, cells=1, stages=1)
    last = run(spec.start(trial(Digits(), CONVOLUTIONS)))[-1]
    assert last.metrics["valid_accuracy_pct"] > 85
    assert last.metrics["test_accuracy_pct"] > 85


def test_a_cell_without_a_path_stays_at_chance():
    spec = TrainArchitecture(epochs=2, batch_size=32, channels=4, cells=1, stages=1)
    last = run(spec.start(trial(Digits(), uniform("none"))))[-1]
    assert last.metrics["valid_accuracy_pct"] < 15
    assert last.metrics["valid_loss"] == pytest.approx(math.log(10), abs=0.2)


def test_the_first_epoch_is_the_one_written_out_by_hand(coloured):
    """SGD with Nesterov momentum and weight decay on everything, from its definition."""
    spec = TrainArchitecture(
        epochs=1, batch_size=48, channels=4, cells=1, stages=1, augment=False, lr=0.2, weight_decay=0.01
    )
    training = spec.start(trial(coloured))
    before = {k: v.clone() for k, v in training._network.named_parameters()}
    images, labels = next(iter(spec.start(trial(coloured))._batches))
    twin = spec.start(trial(coloured))._network.train()
    loss = torch.nn.functional.cross_entropy(twin(images), labels)
    loss.backward()
    [report] = run(training)
    assert report.metrics["train_loss"] == pytest.approx(loss.item(), rel=1e-6)
    for (name, after), gradient in zip(
        training._network.named_parameters(), (p.grad for p in twin.parameters()), strict=True
    ):
        if gradient is not None:
            step = gradient + 0.01 * before[name]
            torch.testing.assert_close(after, before[name] - 0.2 * (1 + 0.9) * step, rtol=1e-5, atol=1e-6)


def test_reports_count_epochs_and_name_their_metrics(coloured):
    reports = run(TINY.start(trial(coloured)))
    each = {"train_loss", "train_accuracy_pct", "valid_loss", "valid_accuracy_pct", "learning_rate"}
    each |= {"parameters_m", "flops_m"}
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert [report.metrics.keys() - each for report in reports] == [
        set(),
        set(),
        {"test_loss", "test_accuracy_pct"},
    ]
    assert all(each <= report.metrics.keys() and report.cost_s > 0 for report in reports)
    assert all(type(value) is float for report in reports for value in report.metrics.values())


def test_the_learning_rate_is_half_a_cosine_over_epochs(coloured):
    rates = [report.metrics["learning_rate"] for report in run(TINY.start(trial(coloured)))]
    assert rates == pytest.approx([0.1, 0.075, 0.025])


def test_validation_uses_all_images_and_the_running_statistics(coloured):
    training = TINY.start(trial(coloured))
    metrics = training.step().metrics
    valid = training._data.valid
    with torch.no_grad():
        logits = training._network.eval()(valid.normalized(valid.images))
    assert metrics["valid_loss"] == pytest.approx(
        torch.nn.functional.cross_entropy(logits, valid.labels).item(), rel=1e-5
    )
    assert metrics["valid_accuracy_pct"] == pytest.approx(
        100 * (logits.argmax(1) == valid.labels).float().mean().item()
    )


def test_validation_leaves_no_trace_in_training(coloured):
    def weights(eval_batch_size):
        training = build(
            "raynas.workloads",
            "train_architecture",
            epochs=2,
            batch_size=16,
            channels=4,
            cells=1,
            stages=1,
            eval_batch_size=eval_batch_size,
        ).start(trial(coloured))
        run(training)
        return training.state_dict()

    assert same_weights(weights(1), weights(512))


# Randomness


def test_equal_seeds_repeat_a_training_exactly_and_others_do_not(coloured):
    curves = [
        [dict(report.metrics) for report in run(TINY.start(trial(coloured, seed=seed)))] for seed in (0, 0, 1)
    ]
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


def test_augmentation_can_be_left_out(coloured):
    spec = TrainArchitecture(epochs=1, batch_size=16, channels=4, cells=1, stages=2, augment=False)
    plain, augmented = (run(s.start(trial(coloured)))[0].metrics["train_loss"] for s in (spec, TINY_ONE))
    assert plain != augmented


def test_training_leaves_the_global_random_state_alone(coloured):
    before = torch.get_rng_state()
    run(TINY.start(trial(coloured)))
    assert torch.equal(torch.get_rng_state(), before)


# Going on


@pytest.mark.parametrize("interrupted", range(4))
def test_an_interrupted_training_goes_on_bit_for_bit(coloured, tmp_path, interrupted):
    whole = TINY.start(trial(coloured))
    due = run(whole)
    first = TINY.start(trial(coloured))
    before = [first.step() for _ in range(interrupted)]
    _checkpoint.write(first.state_dict(), tmp_path)
    second = TINY.start(trial(coloured))
    second.load_state_dict(_checkpoint.read(tmp_path))
    found = before + run(second)
    assert [(r.epoch, dict(r.metrics)) for r in found] == [(r.epoch, dict(r.metrics)) for r in due]
    assert same_weights(second.state_dict(), whole.state_dict())


def test_a_state_does_not_change_as_its_training_goes_on(coloured):
    training = TINY.start(trial(coloured))
    training.step()
    state = training.state_dict()
    twin = TINY.start(trial(coloured))
    twin.load_state_dict(state)
    run(training)
    run(twin)
    third = TINY.start(trial(coloured))
    third.load_state_dict(state)
    run(third)
    assert same_weights(training.state_dict(), third.state_dict())


def test_the_state_of_another_architecture_is_refused(coloured):
    state = TINY.start(trial(coloured)).state_dict()
    with pytest.raises(RaynasError, match=r"the checkpoint is of .*nor_conv_1x1.*; due is"):
        TINY.start(trial(coloured, CONVOLUTIONS)).load_state_dict(state)


def test_there_is_no_step_after_the_last(coloured):
    training = TINY_ONE.start(trial(coloured))
    run(training)
    with pytest.raises(RuntimeError, match="all 1 epochs are over"):
        training.step()


# Failing


def test_a_divergence_names_its_loss_and_epoch(coloured):
    spec = TrainArchitecture(epochs=3, batch_size=16, channels=4, cells=1, stages=2, lr=1e30)
    with pytest.raises(Diverged, match=r"(train|valid)_loss is (nan|inf) in epoch 1") as caught:
        run(spec.start(trial(coloured)))
    assert caught.value.epoch == 1


@pytest.mark.parametrize("lack", ["architecture", "dataset"])
def test_a_trial_without_what_it_needs_is_refused(coloured, lack):
    given = {"architecture": MIXED, "dataset": coloured} | {lack: None}
    with pytest.raises(InputError, match=f"the trial has no {lack}"):
        TINY.start(Trial("nas_bench_201", seed=0, **given))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "epochs: 0 is below 1"),
        ({"batch_size": 0}, "batch_size: 0 is below 1"),
        ({"stages": -1}, "stages: -1 is below 1"),
        ({"lr": 0.0}, "lr: 0.0 is not positive"),
        ({"lr": math.nan}, "lr: nan is not positive"),
        ({"lr": math.inf}, "lr: inf is not"),
        ({"momentum": 1.0}, r"momentum: 1.0 is outside \[0, 1\)"),
        ({"momentum": 0.0}, "nesterov: needs a momentum above 0; set nesterov: false"),
        ({"weight_decay": -1e-4}, "weight_decay: -0.0001 is negative"),
        ({"precision": "float16"}, "precision: 'float16'; due is one of auto, float32, bfloat16"),
    ],
)
def test_settings_out_of_range_are_refused_in_words(options, said):
    with pytest.raises(ValueError, match=said):
        TrainArchitecture(**options)


# The machine


def test_the_workload_is_found_by_its_file():
    assert "train_architecture" in available("raynas.workloads")
    assert (
        build(
            "raynas.workloads", "train_architecture", epochs=3, batch_size=16, channels=4, cells=1, stages=2
        )
        == TINY
    )


def test_a_trial_sets_its_threads(coloured):
    TINY_ONE.start(trial(coloured, n_threads=2))
    assert torch.get_num_threads() == 2
    TINY_ONE.start(trial(coloured))
    assert torch.get_num_threads() == 1


def test_bfloat16_trains_nearly_as_float32_does_and_keeps_float32_weights(coloured):
    losses = {}
    for precision in ("float32", "bfloat16"):
        training = TrainArchitecture(
            epochs=1, batch_size=16, channels=4, cells=1, stages=1, precision=precision
        ).start(trial(coloured))
        losses[precision] = training.step().metrics["train_loss"]
        assert all(
            tensor.dtype == torch.float32
            for name, tensor in training.state_dict()["weights"].items()
            if not name.endswith("num_batches_tracked")
        )
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_follows_the_cpu_in_float32(coloured):
    spec = TrainArchitecture(epochs=1, batch_size=16, channels=4, cells=1, stages=2, precision="float32")
    on_cpu, on_gpu = (
        run(spec.start(trial(coloured, device=device)))[0].metrics for device in ("cpu", "cuda")
    )
    for name, value in on_cpu.items():
        assert on_gpu[name] == pytest.approx(value, rel=0.05, abs=0.05), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_state_from_a_gpu_goes_on_there(coloured, tmp_path):
    first = TINY.start(trial(coloured, device="cuda"))
    first.step()
    _checkpoint.write(first.state_dict(), tmp_path)
    second = TINY.start(trial(coloured, device="cuda"))
    second.load_state_dict(_checkpoint.read(tmp_path))
    assert [report.epoch for report in run(second)] == [2, 3]
