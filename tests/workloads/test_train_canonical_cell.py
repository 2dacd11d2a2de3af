"""Training one canonical cell with several seeds: it learns, repeats itself, goes on bit for bit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from raynas.data import shifted
from raynas.data.dataset.digits import Digits
from raynas.errors import InputError, RaynasError
from raynas.seeding import derive
from raynas.spaces import Architecture, get_space
from raynas.spaces.canonical import classes
from raynas.trial import Diverged, Trial
from raynas.workloads import _checkpoint
from raynas.workloads.train_canonical_cell import TrainCanonicalCell

torch.set_num_threads(1)

SPACE = get_space("nas_bench_201")
DENSE = SPACE.parse(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
)
CONVOLUTIONS = Architecture("nas_bench_201", (SPACE.operations.index("nor_conv_3x3"),) * 6)
SMALL = SPACE.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|skip_connect~2|")
DISCONNECTED = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
TINY = TrainCanonicalCell(seeds=(0, 3), epochs=3, channels=4, batch_size=100, shifted_test=False)


def trial(architecture=SMALL, dataset=None, seed=0):
    return Trial("nas_bench_201", architecture, dataset or Digits(), seed)


def run(training):
    reports = []
    while not training.done:
        reports.append(training.step())
    return reports


def numbers(reports):
    """What is reported but for the seconds that it took."""
    return [
        {name: value for name, value in report.metrics.items() if not name.startswith("training_s")}
        for report in reports
    ]


# What it computes


def test_a_cell_of_convolutions_learns_the_digits_and_is_worse_at_shifted_ones():
    settings = TrainCanonicalCell(seeds=(0,), epochs=6, batch_size=16)
    last = run(settings.start(trial(CONVOLUTIONS)))[-1].metrics
    assert last["valid_accuracy_pct"] > 75
    assert last["test_accuracy_pct"] > 75
    copies = [last[f"shifted_{name}_accuracy_pct"] for name in shifted.NAMES]
    assert 30 < np.mean(copies) < last["test_accuracy_pct"] - 10


def test_a_cell_without_a_path_stays_at_chance():
    last = run(replace(TINY, epochs=1).start(trial(DISCONNECTED)))[-1].metrics
    assert last["valid_accuracy_pct"] < 15
    assert last["valid_loss"] == pytest.approx(math.log(10), abs=0.2)


def test_every_metric_is_the_mean_over_the_seeds_and_one_of_each():
    settings = replace(TINY, epochs=2, shifted_test=True)
    first, last = run(settings.start(trial()))
    each = set(TrainCanonicalCell.metrics)
    per_seed = each - {"parameters_m", "flops_m"}
    at_end = {f"shifted_{name}_{what}" for name in shifted.NAMES for what in ("loss", "accuracy_pct")}
    assert set(first.metrics) == each | {f"{name}.{seed}" for name in per_seed for seed in (0, 3)}
    assert set(last.metrics) - set(first.metrics) == at_end | {
        f"{name}.{seed}" for name in at_end for seed in (0, 3)
    }
    for name in per_seed | at_end:
        of_seeds = [last.metrics[f"{name}.{seed}"] for seed in (0, 3)]
        assert last.metrics[name] == pytest.approx(np.mean(of_seeds))
    assert [report.epoch for report in (first, last)] == [1, 2]
    assert last.metrics["parameters_m"] == first.metrics["parameters_m"]


def test_sizes_are_those_of_one_network():
    (report,) = run(replace(TINY, epochs=1).start(trial()))
    stem, norms, classifier = 9 * 4, 2 * 2 * 4, 4 * 10 + 10
    convolution = 9 * 4 * 4 + 2 * 4
    assert report.metrics["parameters_m"] * 1e6 == pytest.approx(stem + norms + classifier + convolution)


def test_weights_follow_adam_with_decoupled_decay_worked_out_by_hand():
    """Three steps of 200 images, the gradients by autograd, the rest in NumPy from the definition."""
    settings = TrainCanonicalCell(seeds=(7,), epochs=1, batch_size=200, channels=4, shifted_test=False)
    training, twin = (settings.start(trial()) for _ in range(2))
    network = twin._network.train()
    images, labels = twin._data["train"]
    order = torch.randperm(600, generator=torch.Generator().manual_seed(derive(7, "order")))
    first = {name: np.zeros(tuple(p.shape)) for name, p in network.named_parameters()}
    second = {name: moment.copy() for name, moment in first.items()}
    losses, noise = [], set()
    for step in range(3):
        batch = order[step * 200 : (step + 1) * 200]
        loss = functional.cross_entropy(network(images[batch])[0].T, labels[batch])
        losses.append(loss.item())
        network.zero_grad()
        loss.backward()
        rate = 0.01 * (1 + math.cos(math.pi * step / 3)) / 2
        for name, parameter in network.named_parameters():
            gradient = parameter.grad.double().numpy()
            if np.abs(gradient).max() < 1e-6:
                noise.add(name)
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.99 * second[name] + 0.01 * gradient**2
            corrected = first[name] / (1 - 0.9 ** (step + 1))
            spread = np.sqrt(second[name] / (1 - 0.99 ** (step + 1))) + 1e-8
            decay = 5e-4 if parameter.dim() > 1 and not name.endswith("bias") else 0.0
            value = parameter.detach().double().numpy() * (1 - rate * decay) - rate * corrected / spread
            parameter.data = torch.tensor(value, dtype=torch.float32)
    (report,) = run(training)
    assert report.metrics["train_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    found = dict(training._network.named_parameters())
    # A bias whose gradient is zero but for rounding, since the norm after it takes it away: Adam divides the
    # rounding by its own size, so it moves by chance, and what the network computes does not.
    assert noise == {"stages.0.0.convolutions.1_nor_conv_3x3.2.bias"}
    for name, parameter in network.named_parameters():
        if name not in noise:
            torch.testing.assert_close(found[name], parameter, rtol=1e-3, atol=1e-4, msg=name)


def test_validation_and_shifted_tests_use_all_images_and_the_running_statistics():
    training = replace(TINY, epochs=1, shifted_test=True).start(trial())
    metrics = training.step().metrics
    network = training._network.eval()
    due = {"valid": training._data["valid"]}
    noisy = torch.tensor(shifted.shifted(Digits().load())["noisy"])
    due["shifted_noisy"] = (noisy, training._data["test"][1])
    for name, (images, labels) in due.items():
        with torch.no_grad():
            logits = network(network.side_by_side(images))
        for group, seed in enumerate((0, 3)):
            loss = functional.cross_entropy(logits[group].T, labels).item()
            correct = (logits[group].argmax(0) == labels).float().mean().item()
            assert metrics[f"{name}_loss.{seed}"] == pytest.approx(loss, rel=1e-4)
            assert metrics[f"{name}_accuracy_pct.{seed}"] == pytest.approx(100 * correct, rel=1e-4)


def test_training_accuracy_is_over_whole_batches():
    (report,) = run(replace(TINY, epochs=1, batch_size=256).start(trial()))
    for seed in (0, 3):
        correct = report.metrics[f"train_accuracy_pct.{seed}"] * 512 / 100
        assert correct == pytest.approx(round(correct), abs=1e-9)


# Randomness


def test_a_training_repeats_itself_and_the_trial_s_seed_is_of_no_influence():
    twice = [numbers(run(TINY.start(trial(seed=seed)))) for seed in (0, 9)]
    assert twice[0] == twice[1]


def test_members_of_a_form_train_alike_to_the_last_bit():
    class_of, _ = classes(SPACE)
    members = np.flatnonzero(class_of == class_of[SPACE.index(SMALL)])
    assert len(members) > 1
    curves = [numbers(run(TINY.start(trial(SPACE.at(int(index)))))) for index in (members[0], members[-1])]
    assert curves[0] == curves[1]


def test_seeds_differ_and_one_of_them_alone_is_the_same_but_for_rounding():
    together = numbers(run(replace(TINY, epochs=1).start(trial())))[0]
    alone = numbers(run(replace(TINY, epochs=1, seeds=(3,)).start(trial())))[0]
    assert together["valid_loss.0"] != pytest.approx(together["valid_loss.3"], rel=1e-3)
    assert alone["train_loss.3"] == pytest.approx(together["train_loss.3"], rel=1e-3)


def test_training_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    run(replace(TINY, epochs=1).start(trial()))
    assert torch.equal(torch.get_rng_state(), before)


# Going on


@pytest.mark.parametrize("interrupted", [0, 1, 2])
def test_an_interrupted_training_goes_on_bit_for_bit(interrupted, tmp_path):
    whole = TINY.start(trial())
    due = run(whole)
    first = TINY.start(trial())
    before = [first.step() for _ in range(interrupted)]
    _checkpoint.write(first.state_dict(), tmp_path)
    second = TINY.start(trial())
    second.load_state_dict(_checkpoint.read(tmp_path))
    assert numbers(before + run(second)) == numbers(due)
    weights, expected = second.state_dict()["weights"], whole.state_dict()["weights"]
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_state_does_not_change_as_its_training_goes_on():
    training = TINY.start(trial())
    training.step()
    state = training.state_dict()
    run(training)
    twins = [TINY.start(trial()) for _ in range(2)]
    for twin in twins:  # the first must not spoil the state for the second
        twin.load_state_dict(state)
        run(twin)
    expected = training.state_dict()["weights"]
    for twin in twins:
        assert all(
            torch.equal(tensor, expected[name]) for name, tensor in twin.state_dict()["weights"].items()
        )


def test_the_state_of_another_architecture_is_refused():
    state = TINY.start(trial()).state_dict()
    with pytest.raises(RaynasError, match=r"the checkpoint is of .*; due is"):
        TINY.start(trial(DENSE)).load_state_dict(state)


def test_there_is_no_step_after_the_last():
    training = replace(TINY, epochs=1).start(trial())
    run(training)
    with pytest.raises(RuntimeError, match="all 1 epochs are over"):
        training.step()


# Refusals


@pytest.mark.parametrize("lack", ["architecture", "dataset"])
def test_a_trial_without_what_it_needs_is_refused(lack):
    given = {"architecture": SMALL, "dataset": Digits()} | {lack: None}
    with pytest.raises(InputError, match=f"the trial has no {lack}"):
        TINY.start(Trial("nas_bench_201", seed=0, **given))


def test_a_batch_of_more_than_all_images_is_refused():
    with pytest.raises(InputError, match="a batch_size of 601 is more than the 600 training images"):
        replace(TINY, batch_size=601).start(trial())


def test_a_divergence_names_its_loss_and_epoch():
    with pytest.raises(Diverged, match=r"_loss is (nan|inf) in epoch 1") as caught:
        run(replace(TINY, lr=1e38, weight_decay=1e3).start(trial()))
    assert caught.value.epoch == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "epochs: 0 is below 1"),
        ({"seeds": ()}, r"seeds: \[\] must be one or more"),
        ({"seeds": (1, 1)}, r"seeds: \[1, 1\] must be one or more, each once"),
        ({"lr": math.nan}, "lr: nan is not positive"),
        ({"betas": (0.9, 1.0)}, r"betas: \[0.9, 1.0\] are not both in"),
        ({"eps": 0.0}, "eps: 0.0 is not positive"),
        ({"weight_decay": -1.0}, "weight_decay: -1.0 is negative"),
    ],
)
def test_settings_out_of_range_are_refused_in_words(options, said):
    with pytest.raises(ValueError, match=said):
        replace(TINY, **options)


def test_a_space_of_other_cells_is_refused_when_the_configuration_is_checked():
    assert not list(TINY.problems(SPACE))
    ((field, message),) = TINY.problems(get_space("darts_s5"))
    assert field == "name"
    assert "darts_s5 is of kind 'darts'" in message
