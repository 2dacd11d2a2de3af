"""Optuna's samplers as searchers: quiet, seeded, told of failures, refused in words."""

from __future__ import annotations

import re

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from raynas.errors import InputError
from raynas.search.asktell import Failure, Objective, Report, SearchContext
from raynas.search.searcher.optuna import Optuna

METRIC = "valid_error_pct"
QUICK = ["BruteForceSampler", "NSGAIIISampler", "NSGAIISampler", "RandomSampler", "TPESampler"]


@pytest.mark.parametrize("sampler", QUICK)
def test_a_sampler_repeats_itself_from_its_seed(sampler, search, additive):
    values = additive(np.random.default_rng(0))
    spec = Optuna(sampler=sampler, n_proposals=20)
    assert search(spec, values, seed=1) == search(spec, values, seed=1)
    assert search(spec, values, seed=1) != search(spec, values, seed=2)


def test_a_seed_among_the_options_takes_the_place_of_the_runs(search, additive):
    values = additive(np.random.default_rng(0))
    spec = Optuna(sampler_options={"seed": 5}, n_proposals=20)
    assert search(spec, values, seed=1) == search(spec, values, seed=2)


def test_options_reach_the_sampler_and_its_warnings_of_experiments_stay_inside(search, additive):
    values = additive(np.random.default_rng(0))
    startup = [search(Optuna(sampler_options={"n_startup_trials": n}), values) for n in (5, 10)]
    assert startup[0] != startup[1]
    search(Optuna(sampler_options={"multivariate": True, "group": True}, n_proposals=20), values)


def test_optuna_is_silent_and_its_settings_are_left_as_they_were(search, space, capfd):
    verbosity = optuna.logging.get_verbosity()
    search(Optuna(n_proposals=15), np.zeros(space.size))
    assert optuna.logging.get_verbosity() == verbosity
    assert capfd.readouterr() == ("", "")


def test_failures_are_told_as_failed_trials(space, monkeypatch):
    told = []
    tell = optuna.Study.tell

    def recorded(study, trial, *args, **kwargs):
        told.append(tell(study, trial, *args, **kwargs))
        return told[-1]

    monkeypatch.setattr(optuna.Study, "tell", recorded)
    searcher = Optuna(n_proposals=4, parallelism=1).start(SearchContext(space, Objective(METRIC, "max")))
    outcomes = [Report({METRIC: 91.0}, 1), Failure("error", "?"), Report({METRIC: float("nan")}, 1)]
    for outcome in outcomes:
        searcher.tell(searcher.ask().id, outcome)
    searcher.ask()  # sees the third outcome
    assert [one.state for one in told] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert told[0].values == [-91.0]  # a study minimises; the accuracy as a cost


@pytest.mark.parametrize("parallelism", [1, 4])
@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("BruteForceSampler", {}),
        ("GridSampler", {"search_space": {"edge_1<-0": ["a", "b", "c"], "edge_2<-1": ["a", "b", "c"]}}),
    ],
)
def test_a_sampler_that_has_seen_all_ends_the_search(sampler, options, parallelism, tiny_space):
    spec = Optuna(sampler=sampler, sampler_options=options, n_proposals=100, parallelism=parallelism)
    searcher = spec.start(SearchContext(tiny_space, Objective(METRIC, "min")))
    found = []
    while (proposal := searcher.ask()) is not None:
        found.append(proposal.architecture)
        searcher.tell(proposal.id, Report({METRIC: 1.0}, 1))
    assert len(set(found)) == tiny_space.size
    assert len(found) < tiny_space.size + parallelism
    assert searcher.ask() is None


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        (Optuna(sampler="TPESamplr"), "sampler", r"did you mean 'TPESampler'\? Available: .*RandomSampler"),
        (Optuna(sampler="BaseSampler"), "sampler", "unknown sampler 'BaseSampler'"),
        (Optuna(sampler="nsgaii"), "sampler", "unknown sampler 'nsgaii'"),
        (Optuna(sampler="CmaEsSampler"), "sampler", "at random; use one of .*TPESampler"),
        (Optuna(sampler="PartialFixedSampler"), "sampler", "takes another sampler"),
        (
            Optuna(sampler_options={"foo": 1}),
            "sampler_options",
            "foo.* it takes .*n_startup_trials.*RandomSampler",
        ),
        (Optuna("NSGAIISampler", {"population_size": 1}), "sampler_options", "population_size"),
        (Optuna(sampler="GridSampler"), "sampler_options", "search_space"),
    ],
)
def test_what_cannot_work_is_said(spec, field, words, space):
    ((where, message),) = spec.problems(space)
    assert where == field
    assert re.search(words, message)
    with pytest.raises(InputError, match=words):
        spec.start(SearchContext(space, Objective(METRIC)))


def test_what_works_is_not_complained_of(space):
    for sampler in (*QUICK, "GPSampler"):
        assert list(Optuna(sampler=sampler).problems(space)) == []
