"""Schedulers that change running trials: what they may change, and what they are refused for."""

from __future__ import annotations

import pytest

from raynas.config import load_text, override, to_yaml
from raynas.config.population import beginnings
from raynas.errors import ConfigError

SEARCH = """\
search_space: nas_bench_201
dataset: digits
workload: {name: differentiable_search, skeleton: {name: nas_bench_201, channels: 4, cells: 1}}
method:
  arch_gradient: {name: a2m, rho: 0.1}
  mixed_op: [{name: partial_channels, k: 2}]
  epochs: 8
sweep: {seed: {grid: [0, 1, 2, 3]}}
scheduler:
  name: ray_tune
  scheduler: pbt
  options:
    perturbation_interval: 2
    hyperparam_mutations:
      method.arch_gradient.rho: [0.01, 0.1, 1.0]
      method.weights.lr: {log_uniform: [0.01, 0.1]}
report: {metric: valid_accuracy_pct}
"""
SAMPLED = """\
search_space: nas_bench_201
workload: {name: "toy:Instant"}
searcher: {name: random_search, n_proposals: 4}
scheduler: {name: ray_tune, scheduler: pbt, options: {hyperparam_mutations: {workload.epochs: [3, 4]}}}
report: {metric: valid_accuracy_pct}
"""
MUTATIONS = "scheduler.options.hyperparam_mutations"


def experiment(*overrides, text=SEARCH):
    return load_text(text, source="x.yaml", overrides=[override(item) for item in overrides])


def test_a_configuration_is_read_as_it_was_written():
    made = experiment()
    assert load_text(to_yaml(made), source="y.yaml") == made
    assert beginnings(made) == {"method.arch_gradient.rho": 0.1, "method.weights.lr": 0.025}
    assert beginnings(experiment("scheduler=fifo")) == {}


def test_bounds_are_two_numbers():
    made = experiment(
        "scheduler={name: ray_tune, scheduler: pb2, options: {perturbation_interval: 2, "
        "hyperparam_bounds: {method.arch_gradient.rho: [0.0, 1.0]}}}"
    )
    (of,) = made.scheduler.changes.values()
    assert (of.low, of.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [f"{MUTATIONS}={{method.arch_gradient.roh: [0.1]}}"],
            rf"{MUTATIONS}.method.arch_gradient.roh: is no single value of the configuration; did you mean "
            r"'method.arch_gradient.rho'\?",
        ),
        (
            [f"{MUTATIONS}={{method.batch_size: [16, 32]}}"],
            r"method.batch_size: a trial under way cannot change it; numbers below method.relaxation, method",
        ),
        (
            [f"{MUTATIONS}={{method.mixed_op.0.k: [2, 4]}}"],
            "mixed_op.0.k: a trial under way cannot change it",
        ),
        (
            [f"{MUTATIONS}={{method.arch_gradient.name: [a2m, first_order]}}"],
            "arch_gradient.name: a trial under way cannot change it",
        ),
        (
            [f"{MUTATIONS}={{method.alpha.initial_scale: [0.1, 1.0]}}"],
            "initial_scale: a trial under way cannot change it",
        ),
        ([f"{MUTATIONS}={{method.weights.lr: 0.1}}"], r"method.weights.lr: 0.1 is no range; give one of"),
        (
            [f"{MUTATIONS}={{method.weights.momentum: {{uniform: [0.5, 1.5]}}}}"],
            r"method.weights.momentum: 1.5: .*momentum: 1.5 is outside \[0, 1\)",
        ),
        (
            [f"{MUTATIONS}={{method.weights.clip: {{uniform: [1, 5]}}}}", "method.weights.clip=null"],
            "method.weights.clip: begins as None, which is not in an interval; set it, or list values",
        ),
        ([f"{MUTATIONS}={{}}"], "hyperparam_mutations: is missing; name what is changed, such as {method.ar"),
        (["scheduler.options.perturbation_interval=0"], "perturbation_interval 0 is not 1 or more; give a n"),
        (
            ["scheduler.options.time_attr=valid_loss"],
            "time_attr valid_loss; pbt goes by epochs, leave it out",
        ),
        (
            ["sweep={method.epochs: {grid: [4, 8]}}"],
            r"sweep.method.epochs: pbt lets trials go on from each other's states, and those of different "
            "method.epochs cannot; sweep seed, or keys below method.relaxation",
        ),
        (
            ["searcher={name: sweep, sampler: TPESampler, n_proposals: 8}"],
            "searcher.sampler: TPESampler learns from what its values gave, and pbt changes them on the way",
        ),
        (
            ["tune.max_concurrent=2"],
            "tune.max_concurrent: 2 is below the 4 trials, and pbt compares those that have begun; leave it",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_loaded(overrides, message):
    with pytest.raises(ConfigError, match=message):
        experiment(*overrides)


def test_an_interval_that_is_missing_is_asked_for():
    text = SEARCH.replace("    perturbation_interval: 2\n", "")
    with pytest.raises(ConfigError, match="perturbation_interval: is missing; give the epochs between"):
        experiment(text=text)


def test_sampled_architectures_have_nothing_that_could_be_changed():
    with pytest.raises(
        ConfigError,
        match="changes the hyperparameters of running trials, and a sampled architecture has none",
    ):
        experiment(text=SAMPLED)


def test_a_workload_that_names_nothing_changeable_is_refused(monkeypatch):
    import toy

    text = "search_space: nas_bench_201\nworkload: toy:Growing\nreport: {metric: level}\n" + (
        "scheduler: {name: ray_tune, scheduler: pbt, options: {perturbation_interval: 2, "
        "hyperparam_mutations: {workload.rate: [1.0, 2.0]}}}\nsweep: {workload.rate: {grid: [1.0, 2.0]}}\n"
    )
    assert experiment(text=text)
    monkeypatch.delattr(toy.Growing, "changeable")
    with pytest.raises(ConfigError, match=r"toy:Growing names none that may \(changeable\); use one of"):
        experiment(text=text)
