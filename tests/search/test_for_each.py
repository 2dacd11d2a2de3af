"""One search for every combination of a sweep: the same searches as alone, in one run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from raynas.config import load_text
from raynas.errors import ConfigError, InputError
from raynas.journal import MemoryJournal
from raynas.search.asktell import Objective, Proposal, Report, Score, SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.fifo import Fifo
from raynas.search.searcher.evolution_oneshot import EvolutionOneshot
from raynas.search.searcher.for_each import ForEach
from raynas.search.searcher.neighborhood import Neighborhood
from raynas.search.searcher.random_search import RandomSearch
from raynas.search.searcher.sweep import Sweep
from raynas.search.sweep import ranges
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")
GAMMA = "workload.metric.gamma"
EVOLUTION = EvolutionOneshot(population_size=10, top_k=3, n_mutation=4, n_crossover=4, generations=4)


def context(**sweep):
    named = {GAMMA if path == "gamma" else path: {"grid": values} for path, values in sweep.items()}
    return SearchContext(SPACE, Objective("score", "max"), 0, ranges(named))


def score(proposal, gamma):
    """What is best hangs on gamma."""
    ops = proposal.architecture.ops
    return float(ops[0] + gamma * sum(ops[1:]))


def searched(searcher, *, gamma=None, at_once=1):
    """All proposals and their scores; trials end last come, first served."""
    proposals, scores, live = [], {}, []
    while True:
        while len(live) < at_once and (proposal := searcher.ask()) is not None:
            proposals.append(proposal)
            live.append(proposal)
        if not live:
            return proposals, scores
        one = live.pop()
        value = score(one, one.config.get(GAMMA, 0.0) if gamma is None else gamma)
        if (made := searcher.tell(one.id, Report({"score": value}, epoch=1))) is not None:
            scores[made.proposal_id] = made


@pytest.mark.parametrize("base", [EVOLUTION, Neighborhood(base=RandomSearch(n_proposals=8), n_nbr=3)])
@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_each_search_is_what_it_is_alone(base, at_once):
    gammas = (-1.0, 0.0, 1.0)
    proposals, scores = searched(ForEach(base).start(context(gamma=list(gammas))), at_once=at_once)
    assert [one.id for one in proposals] == list(range(len(proposals)))
    seen = []
    for gamma in gammas:
        alone, scores_alone = searched(base.start(context()), gamma=gamma)
        own = [one for one in proposals if one.config == {GAMMA: gamma}]
        assert [(one.architecture, one.role) for one in own] == [
            (one.architecture, one.role) for one in alone
        ]
        ids = [one.id for one in own]
        assert {ids[key]: replace(made, proposal_id=ids[key]) for key, made in scores_alone.items()} == {
            key: made for key, made in scores.items() if key in ids
        }
        seen.append([one.architecture for one in own])
    if base is EVOLUTION:
        assert seen[0][:10] == seen[1][:10] == seen[2][:10], "they begin alike"
        assert seen[0] != seen[2], "and each follows its own scores"


def test_searches_take_turns():
    proposals, _ = searched(ForEach(EVOLUTION).start(context(gamma=[0.0, 1.0])), at_once=3)
    assert [one.config[GAMMA] for one in proposals] == [0.0, 1.0] * 40


def test_every_combination_of_several_keys_has_its_search():
    spec = ForEach(RandomSearch(n_proposals=2))
    there = context(gamma=[0.0, 1.0], seed=[3, 4, 5])
    proposals, _ = searched(spec.start(there))
    firsts = [dict(one.config) for one in proposals[:6]]
    assert firsts == [{GAMMA: gamma, "seed": seed} for gamma in (0.0, 1.0) for seed in (3, 4, 5)]
    assert len(proposals) == 2 * spec.n_combinations(there.sweep) == 12


def test_a_swept_seed_is_the_seed_of_its_search():
    proposals, _ = searched(ForEach(EVOLUTION).start(context(seed=[3, 4])))
    for seed in (3, 4):
        alone, _ = searched(EVOLUTION.start(replace(context(), seed=seed)))
        own = [one.architecture for one in proposals if one.config == {"seed": seed}]
        assert own == [one.architecture for one in alone]


def test_with_nothing_to_sweep_it_is_its_base():
    assert searched(ForEach(EVOLUTION).start(context())) == searched(EVOLUTION.start(context()))


def test_groups_of_different_searches_are_different():
    base = Neighborhood(base=RandomSearch(n_proposals=4), n_nbr=3)
    proposals, scores = searched(ForEach(base).start(context(gamma=[0.0, 1.0])))
    groups = {}
    for one in proposals:
        groups.setdefault(one.group, []).append(one)
    assert [len(members) for _, members in sorted(groups.items())] == [3] * 8
    for members in groups.values():
        assert len({one.config[GAMMA] for one in members}) == 1
        assert [one.role for one in members] == ["reference", "neighbor", "neighbor"]
        assert members[0].id in scores


@dataclass(frozen=True)
class Twice:
    """A user's own base: an architecture, then the same once more with the first outcome; n times over."""

    n: int = 2

    def start(self, context):
        return TwiceSearcher(self.n)


class TwiceSearcher:
    def __init__(self, n):
        self.left = [
            Proposal(id_, SPACE.at(id_ // 2), reuses=id_ - 1 if id_ % 2 else None) for id_ in range(2 * n)
        ]
        self.told = []

    def ask(self):
        return self.left.pop(0) if self.left else None

    def tell(self, proposal_id, outcome):
        return Score(proposal_id, None, 0.0)


def test_a_proposal_that_takes_an_earlier_outcome_takes_that_of_its_own_search():
    proposals, _ = searched(ForEach(Twice()).start(context(gamma=[0.0, 1.0])))
    assert [one.reuses for one in proposals] == [None, None, 0, 1, None, None, 4, 5]
    assert all(one.config == proposals[one.reuses or one.id].config for one in proposals)


def test_an_architecture_is_evaluated_once_under_each_setting():
    base = RandomSearch(n_proposals=10)
    searcher = ForEach(base).start(context(gamma=[0.0, 1.0]))
    run = Run(searcher, Fifo().start(context().objective), context().objective, MemoryJournal())
    while taken := run.take(4):
        for item in taken:
            value = score(item.proposal, item.proposal.config[GAMMA])
            run.report(item.proposal.id, Report({"score": value}, 1), done=True)
    assert run.counts.nominal == run.counts.unique == 20
    best = run.standing(run.best.proposal_id)
    assert best.proposal.config == {GAMMA: 1.0}


def test_a_search_that_is_over_leaves_the_others_their_turns(tiny_space):
    base = EvolutionOneshot(population_size=4, top_k=2, n_mutation=1, n_crossover=1)
    there = replace(context(seed=[0, 1, 2]), space=tiny_space)
    for at_once in (1, 50):
        order = np.random.default_rng(at_once)
        searcher, live, found = ForEach(base).start(there), [], []
        while True:
            while len(live) < at_once and (proposal := searcher.ask()) is not None:
                live.append(proposal)
                found.append(proposal)
            if not live:
                break
            one = live.pop(int(order.integers(len(live))))
            searcher.tell(one.id, Report({"score": float(sum(one.architecture.ops))}, epoch=1))
        assert sorted((one.config["seed"], one.architecture) for one in found) == [
            (seed, tiny_space.at(index)) for seed in (0, 1, 2) for index in range(9)
        ]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"x": {"uniform": [0, 1]}}, "for_each needs lists, and x is an interval; give x a grid: [values]"),
        ({"search_space": {"grid": ["darts"]}}, "share one run, and search_space is the run's"),
        ({"searcher.base.top_k": {"grid": [1, 2]}}, "share one run, and searcher.base.top_k is the run's"),
    ],
)
def test_a_sweep_that_it_cannot_run_is_refused(sweep, message):
    with pytest.raises(InputError, match=re.escape(message)):
        ForEach(EVOLUTION).start(replace(context(), sweep=ranges(sweep)))


@pytest.mark.parametrize(
    ("base", "message"),
    [(ForEach(), "base: one for_each sweeps all keys"), (Sweep(), "base: proposes no architectures")],
)
def test_a_base_that_makes_no_sense_is_refused(base, message):
    with pytest.raises(ValueError, match=message):
        ForEach(base)


CONFIG = """\
search_space: nas_bench_201
workload: query_table
table: digits
searcher: {name: for_each, base: evolution_oneshot}
sweep: {workload.epoch: {grid: [5, 10]}, seed: {grid: [0, 1]}}
report: {metric: valid_accuracy_pct}
"""


def test_a_configuration_may_sweep_a_search():
    experiment = load_text(CONFIG, source="x.yaml")
    assert experiment.searcher == ForEach(EvolutionOneshot())
    assert experiment.context().sweep.keys() == {"workload.epoch", "seed"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("{name: for_each, base: evolution_oneshot}", "evolution_oneshot"),
            "x.yaml:5: sweep: is for searcher",
        ),
        (("[5, 10]", "[5, 0]"), "0: workload.epoch: 0 is below 1"),
        (("grid: [0, 1]", "integers: [0, 1]"), "for_each needs lists, and seed is an interval"),
    ],
)
def test_a_configuration_that_cannot_sweep_is_refused_in_words(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_text(CONFIG.replace(*change), source="x.yaml")
