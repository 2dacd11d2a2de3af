"""The laws of every searcher: reproducible, indifferent to timing, restorable, at ease with failures."""

from __future__ import annotations

import pickle
import random
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
from rankers import Random

from raynas.errors import InputError
from raynas.lookup import available, find
from raynas.search.asktell import Failure
from raynas.search.sweep import Listed
from raynas.spaces import get_space

SLOT = "raynas.search.searcher"
WRAPPERS = ("neighborhood", "for_each")
N_PROPOSALS = 30
SMALL = {"population_size": 10, "generations": 3, "top_k": 3, "n_mutation": 4, "n_crossover": 4}


def spec_of(name):
    """The searcher with its own defaults, but a short search; ``wrapper(base)`` for one around another."""
    if "(" in name:
        wrapper, _, base = name.rstrip(")").partition("(")
        return find(SLOT, wrapper)(base=spec_of(base), **({"n_nbr": 4} if wrapper == "neighborhood" else {}))
    kind = find(SLOT, name)
    given = {"n_proposals": N_PROPOSALS, "predictor": Random(), **SMALL}  # a predictor that takes no time
    if not proposes_architectures(name):
        given["sampler"] = "random"
    return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})


def proposes_architectures(name):
    return getattr(find(SLOT, name.partition("(")[0]), "proposes_architectures", True)


SEARCHERS = [name for name in available(SLOT) if name not in WRAPPERS]
SEARCHERS += [f"{one}({base})" for one in WRAPPERS for base in SEARCHERS if proposes_architectures(base)]

every_searcher = pytest.mark.parametrize("name", SEARCHERS)


@pytest.fixture
def context(context, name):
    """Of a search for the highest accuracy; under two settings where the searcher takes each in turn."""
    if not name.startswith("for_each"):
        return context
    settings = {"workload.metric.gamma": Listed((0.0, 16.0))}
    return lambda **given: replace(context(**given), sweep=settings)


@every_searcher
def test_the_same_seed_gives_the_same_search(name, drive, context, landscape):
    first = drive(spec_of(name).start(context(seed=3)), landscape)
    second = drive(spec_of(name).start(context(seed=3)), landscape)
    assert first.proposals == second.proposals
    assert first.scores == second.scores


@every_searcher
def test_another_seed_gives_another_search(name, drive, context, landscape):
    first = drive(spec_of(name).start(context(seed=3)), landscape)
    second = drive(spec_of(name).start(context(seed=4)), landscape)
    assert first.proposals != second.proposals


@every_searcher
def test_ids_count_from_0_and_architectures_belong_to_the_space(name, drive, context, landscape):
    trace = drive(spec_of(name).start(context()), landscape)
    assert [one.id for one in trace.proposals] == list(range(len(trace.proposals)))
    for one in trace.proposals:
        if name == "sweep":
            assert one.config.keys() == context().sweep.keys()
        else:
            assert landscape.space.at(landscape.space.index(one.architecture)) == one.architecture


@every_searcher
@pytest.mark.parametrize("failing", [False, True])
def test_the_search_does_not_depend_on_when_outcomes_arrive(name, failing, drive, context, landscape):
    evaluate = landscape.with_failures if failing else landscape
    expected = drive(spec_of(name).start(context()), evaluate)
    for concurrency in (2, 5, 64):
        order = np.random.default_rng(concurrency)
        trace = drive(spec_of(name).start(context()), evaluate, concurrency=concurrency, order=order)
        assert trace.proposals == expected.proposals
        assert trace.scores == expected.scores


@every_searcher
@pytest.mark.parametrize("space", ["darts", "darts_s1"])
def test_it_searches_spaces_of_another_kind(name, space, drive, context, landscape):
    if not proposes_architectures(name):
        pytest.skip("proposes no architectures, so a space makes no difference to it")
    there = replace(context(), space=get_space(space))
    refusals = getattr(spec_of(name), "problems", lambda space: ())(there.space)
    if refused := [message for _, message in refusals]:
        pytest.skip(refused[0])
    weights = np.random.default_rng(0).normal(size=(there.space.n_edges, len(there.space.operations)))
    on_it = replace(landscape, space=there.space, weights=weights)
    trace = drive(spec_of(name).start(there), on_it, concurrency=4)
    assert trace.proposals == drive(spec_of(name).start(there), on_it).proposals
    assert len(trace.scores) >= N_PROPOSALS


@every_searcher
def test_every_candidate_gets_one_score_in_the_unit_of_the_metric(name, drive, context, landscape):
    trace = drive(spec_of(name).start(context()), landscape)
    candidates = {one.id: one for one in trace.proposals if one.role != "neighbor"}
    assert trace.scores.keys() == candidates.keys()
    values = [landscape(one).metrics["valid_accuracy_pct"] for one in trace.proposals]
    for id_, score in trace.scores.items():
        assert score.architecture == candidates[id_].architecture
        assert score.n_failed == 0
        assert min(values) <= score.value <= max(values)


@every_searcher
def test_a_search_for_the_lowest_mirrors_a_search_for_the_highest(name, drive, context, landscape):
    highest = drive(spec_of(name).start(context(mode="max")), landscape)
    lowest = drive(spec_of(name).start(context(mode="min")), replace(landscape, sign=-1.0))
    assert lowest.proposals == highest.proposals
    assert {key: -score.value for key, score in lowest.scores.items()} == {
        key: score.value for key, score in highest.scores.items()
    }


@every_searcher
def test_failures_do_not_stop_the_search(name, drive, context, landscape):
    trace = drive(spec_of(name).start(context()), landscape.with_failures)
    n_failed = sum(score.value is None for score in trace.scores.values())
    assert len(trace.scores) >= N_PROPOSALS
    assert 0 < n_failed < len(trace.scores)


@every_searcher
@pytest.mark.parametrize("kind", ["diverged", "error", "lost"])
def test_the_search_goes_on_when_everything_fails(name, kind, drive, context):
    trace = drive(spec_of(name).start(context()), lambda proposal: Failure(kind, "no luck"), concurrency=8)
    assert len(trace.scores) >= N_PROPOSALS
    assert all(score.value is None and score.n == 0 and score.n_failed > 0 for score in trace.scores.values())


@every_searcher
def test_a_search_is_restored_by_repeating_its_calls(name, drive, context, landscape):
    order = np.random.default_rng(0)
    whole = drive(spec_of(name).start(context()), landscape.with_failures, concurrency=6, order=order)
    for n_calls in (1, len(whole.calls) // 3, len(whole.calls) - 1):
        restored = spec_of(name).start(context())
        asked = []
        for call in whole.calls[:n_calls]:
            if call is None:
                asked.append(restored.ask())
            else:
                restored.tell(*call)
        told = {call[0] for call in whole.calls[:n_calls] if call is not None}
        for proposal in asked:
            if proposal.id not in told:
                restored.tell(proposal.id, landscape.with_failures(proposal))
        rest = drive(restored, landscape.with_failures, concurrency=3)
        assert asked + rest.proposals == whole.proposals


@every_searcher
def test_only_the_first_outcome_of_a_proposal_counts(name, drive, context, landscape):
    expected = drive(spec_of(name).start(context()), landscape)
    searcher = spec_of(name).start(context())
    proposals = []
    while (proposal := searcher.ask()) is not None:
        proposals.append(proposal)
        searcher.tell(proposal.id, landscape(proposal))
        assert searcher.tell(proposal.id, Failure("lost", "a ghost of an earlier attempt")) is None
        assert searcher.tell(0, landscape(proposal)) is None
    assert proposals == expected.proposals


@every_searcher
def test_an_outcome_that_was_not_asked_for_is_refused(name, context, landscape):
    searcher = spec_of(name).start(context())
    proposal = searcher.ask()
    for unknown in (-1, proposal.id + 1, 10**6):
        with pytest.raises(InputError, match=f"proposal {unknown}"):
            searcher.tell(unknown, landscape(proposal))


@every_searcher
def test_a_report_without_the_metric_is_refused_and_changes_nothing(name, drive, context, landscape):
    searcher = spec_of(name).start(context())
    proposal = searcher.ask()
    report = landscape(proposal)
    with pytest.raises(InputError, match="valid_loss"):
        searcher.tell(proposal.id, replace(report, metrics={"valid_loss": 1.0}))
    searcher.tell(proposal.id, report)
    rest = drive(searcher, landscape)
    expected = drive(spec_of(name).start(context()), landscape)
    assert [proposal, *rest.proposals] == expected.proposals


@every_searcher
def test_a_search_that_is_over_stays_over(name, drive, context, landscape):
    searcher = spec_of(name).start(context())
    drive(searcher, landscape, concurrency=4)
    assert [searcher.ask() for _ in range(5)] == [None] * 5


@every_searcher
def test_asking_in_vain_changes_nothing(name, drive, context, landscape):
    expected = drive(spec_of(name).start(context()), landscape)
    searcher = spec_of(name).start(context())
    proposals = []
    while True:
        running = []
        for _ in range(100):  # more than any searcher gives at once, so that the last are in vain
            if (proposal := searcher.ask()) is not None:
                running.append(proposal)
        if not running:
            break
        proposals += running
        for proposal in reversed(running):
            searcher.tell(proposal.id, landscape(proposal))
    assert proposals == expected.proposals


@every_searcher
def test_a_search_leaves_module_level_randomness_alone(name, drive, context, landscape):
    np.random.seed(0)  # noqa: NPY002
    before = (random.getstate(), pickle.dumps(np.random.get_state()))  # noqa: NPY002
    drive(spec_of(name).start(context()), landscape)
    assert (random.getstate(), pickle.dumps(np.random.get_state())) == before  # noqa: NPY002


@every_searcher
def test_hyperparameters_are_a_value(name):
    spec = spec_of(name)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(spec_of(name))
    for field in fields(spec):
        with pytest.raises(FrozenInstanceError):
            setattr(spec, field.name, None)


@every_searcher
def test_counts_below_1_are_refused_by_name(name):
    spec = spec_of(name)
    for field in fields(spec):
        if field.name in ("n_proposals", "n_nbr", "parallelism"):
            with pytest.raises(ValueError, match=field.name):
                replace(spec, **{field.name: 0})
