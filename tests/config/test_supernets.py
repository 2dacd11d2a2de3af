"""Experiments whose trials need a trained supernet, or train one first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from toy_stages import Using

from raynas.config import Experiment, load, load_text, override, to_yaml
from raynas.errors import ConfigError
from raynas.search.asktell import Proposal
from raynas.search.prelude import WithPrelude

BASE = """\
search_space: nas_bench_201
workload: {name: "toy_stages:Using"}
searcher: random_search
report: {metric: valid_accuracy_pct}
"""
TRAINING = "workload.training.epochs=2"


def experiment(*overrides: str) -> Experiment:
    return load_text(BASE, source="x.yaml", overrides=[override(text) for text in overrides])


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        experiment(*overrides)
    return str(caught.value).splitlines()


def test_a_supernet_given_by_a_relative_path_is_the_same_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = experiment("supernet=runs/mine")
    assert made.supernet == f"{tmp_path}/runs/mine"
    monkeypatch.chdir("/")
    assert load_text(to_yaml(made), source="resolved") == made


def test_a_supernet_in_a_store_keeps_its_address():
    assert experiment("supernet=s3://bucket/run").supernet == "s3://bucket/run"


def test_trials_are_told_where_the_supernet_lies_or_where_the_run_has_put_it():
    candidate, made = Proposal(3, None), "/run/artifacts/0"
    assert experiment("supernet=/runs/mine").trial(candidate, made=made).supernet == "/runs/mine"
    assert experiment(TRAINING).trial(candidate, made=made).supernet == made


def test_what_counts_multiply_adds_is_made_when_they_are_first_asked_for():
    made = []

    @dataclass(frozen=True)
    class Counting(Using):
        def flops_counter(self, trial):
            made.append(trial.supernet)
            return lambda architecture: 2.5

    context = replace(experiment("supernet=/runs/mine"), workload=Counting()).context()
    assert made == []
    anything = context.space.at(0)
    assert [context.flops_m(anything), context.flops_m(anything)] == [2.5, 2.5]
    assert made == ["/runs/mine"]
    assert experiment("supernet=/runs/mine").context().flops_m is None


def test_only_a_run_that_trains_first_begins_with_a_prelude():
    first = experiment(TRAINING)
    assert isinstance(first.search(), WithPrelude)
    prelude = first.search().ask()
    assert first.workload_of(prelude) == first.workload.training
    assert first.workload_of(Proposal(1, None)) == first.workload
    given = experiment("supernet=/runs/mine")
    assert not isinstance(given.search(), WithPrelude)
    assert given.workload_of(Proposal(0, None)) == given.workload


def test_neither_or_both_of_a_supernet_and_its_training_are_refused():
    assert problems() == [
        "x.yaml:1: supernet: is missing; name the run that trained one, as in supernet: runs/NAME, or say by "
        "workload.training how to train one first"
    ]
    (both,) = problems(TRAINING, "supernet=/runs/mine")
    assert both.startswith("-o supernet=/runs/mine: supernet: is there, and workload.training would train")
    assert both.endswith("as by -o workload.training=null")


def test_a_training_can_be_overridden_away():
    made = experiment(TRAINING, "workload.training=null", "supernet=/runs/mine")
    assert made.prelude is None


def test_a_workload_that_takes_no_weights_refuses_a_supernet():
    assert "takes no weights" in problems("workload=toy:Instant", "supernet=/runs/mine")[0]


def test_rays_own_schedulers_are_refused_where_all_wait_for_one_trial():
    found = problems(TRAINING, "scheduler={name: ray_tune, scheduler: hyperband}")
    assert found[0].startswith("-o scheduler=")
    assert "no trial that all others wait for" in found[0]


@pytest.mark.parametrize("name", ["digits", "cifar10", "nb201"])
def test_a_search_trains_its_supernet_as_the_configuration_that_only_trains_one(name):
    search, alone = load(f"genas_{name}", here=False), load(f"spos_supernet_{name}", here=False)
    assert search.workload.training == alone.workload
    assert (search.search_space, search.dataset) == (alone.search_space, alone.dataset)
