"""Predictor-based search: what it proposes, in which batches, with NOSH and without."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import rankers
from levels import OBJECTIVE, drive
from rankers import Oracle, Random, worth

from raynas.data.dataset.digits import Digits
from raynas.journal import MemoryJournal
from raynas.search.asktell import SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.fifo import Fifo
from raynas.search.scheduler.nosh import Nosh
from raynas.search.searcher.rank_predictor import Level0, RankPredictor
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")
LEVELS = (1, 2, 4, 9)
NOSH = Nosh(LEVELS, 0.5, n_first=10, n_batch=5, n_pool=40)


@pytest.fixture(autouse=True)
def forget():
    Oracle.seen.clear()


def begin(searcher, scheduler, journal=None, seed=0, space=SPACE):
    context = SearchContext(space, OBJECTIVE, seed)
    started = scheduler.start(OBJECTIVE)
    run = Run(searcher.start(context), started, OBJECTIVE, journal or MemoryJournal(), clock=lambda: 0.0)
    return run, started


def accuracy(key, architecture, epoch):
    return worth(architecture) * epoch / LEVELS[-1]


def architectures(run):
    return [run.standing(key).proposal.architecture for key in range(run.counts.nominal)]


@pytest.mark.parametrize("scheduler", [NOSH, Fifo()], ids=["nosh", "fifo"])
def test_an_oracle_proposes_the_best_of_the_space_in_order(scheduler):
    searcher = RankPredictor(Oracle(), n_proposals=40, n_first=10, n_batch=5)
    run, _ = begin(searcher, scheduler)
    drive(run, accuracy, LEVELS, slots=3)
    found = architectures(run)
    assert len(set(found)) == len(found) == 40
    best = sorted(map(SPACE.at, range(SPACE.size)), key=worth, reverse=True)
    assert found[10:] == [one for one in best if one not in found[:10]][:30]
    assert run.best.architecture == max(found, key=worth), "the optimum is returned once it is proposed"


def test_the_predictor_is_fitted_once_a_batch_to_the_whole_pool_with_levels():
    run, _ = begin(RankPredictor(Oracle(), n_proposals=40), NOSH)
    drive(run, accuracy, LEVELS, slots=4)
    assert [len(seen) for seen, _, _ in Oracle.seen] == [10, 15, 20, 25, 30, 35]
    for seen, keys, _ in Oracle.seen:
        levels = Counter(level for level, _ in keys)
        assert sum(levels.values()) == len(seen)
        assert levels[4] == -(-len(seen) // 8)
        for one, (level, value) in zip(seen, keys, strict=True):
            assert value == pytest.approx(accuracy(0, one, LEVELS[level - 1]))
    assert len({seed for *_, seed in Oracle.seen}) == 6


@pytest.mark.parametrize("slots", [1, 4, 40])
@pytest.mark.parametrize("scheduler", [NOSH, Fifo()], ids=["nosh", "fifo"])
def test_proposals_do_not_hang_on_how_many_trials_run_at_once(slots, scheduler):
    def proposed(n, order):
        run, _ = begin(RankPredictor(Random(), n_proposals=40, epsilon=0.2), scheduler, seed=3)
        drive(run, accuracy, LEVELS, slots=n, order=order)
        return architectures(run)

    assert proposed(slots, random.Random(slots)) == proposed(2, random.Random(0))


def test_a_random_ranker_is_as_good_as_random_admission():
    """Mean final accuracy of what is proposed after the first batch: uniform, within 4 standard errors."""
    found = []
    for seed in range(20):
        searcher = RankPredictor(Random(), n_proposals=40, n_candidates=300)
        run, _ = begin(searcher, NOSH, seed=seed)
        drive(run, accuracy, LEVELS, slots=3)
        found += [worth(one) for one in architectures(run)[10:]]
    population = np.array([worth(SPACE.at(index)) for index in range(SPACE.size)])
    assert np.mean(found) == pytest.approx(population.mean(), abs=4 * population.std() / np.sqrt(len(found)))


@pytest.mark.parametrize("scheduler", [NOSH, Fifo()], ids=["nosh", "fifo"])
def test_a_restored_search_proposes_what_it_would_have_and_fits_nothing_again(scheduler):
    searcher = RankPredictor(Oracle(), n_proposals=40, n_first=10, n_batch=5, epsilon=0.4)
    whole, _ = begin(searcher, scheduler)
    drive(whole, accuracy, LEVELS, slots=2)
    n_fits = len(Oracle.seen)
    journal = MemoryJournal()
    first, _ = begin(searcher, scheduler, journal)
    Oracle.seen.clear()
    drive(first, accuracy, LEVELS, slots=2, stop_after=33)
    before = len(Oracle.seen)
    second, _ = begin(searcher, scheduler, MemoryJournal())
    second.replay(list(journal.records))
    assert len(Oracle.seen) == before
    drive(second, accuracy, LEVELS, slots=2)
    assert architectures(second) == architectures(whole)
    assert n_fits <= len(Oracle.seen) <= n_fits + 1, "a batch that was half handed out is chosen again"


def test_candidates_may_be_a_sample_of_a_space_too_large_to_list():
    darts = get_space("darts")
    searcher = RankPredictor(Oracle(), n_proposals=12, n_first=4, n_batch=4, n_candidates=30)
    run, _ = begin(searcher, Fifo(), space=darts)
    drive(run, lambda *_: 1.0 + np.random.default_rng(0).random(), LEVELS, slots=2)
    assert len(set(architectures(run))) == 12


def test_level_0_is_scored_by_the_proxy_and_ranks_below_everything_trained(monkeypatch):
    level0 = Level0(Digits(), proxy="params", per_proposal=3, channels=4, cells=1, stages=1)
    monkeypatch.setattr(Level0, "scores", lambda self, drawn, seed: [worth(one) for one in drawn])
    run, _ = begin(RankPredictor(Oracle(), n_proposals=40, level0=level0), NOSH)
    drive(run, accuracy, LEVELS, slots=2)
    first = architectures(run)[:10]
    assert np.mean([worth(one) for one in first]) > 70, "the first batch is the proxy's best of thirty"
    seen, keys, _ = Oracle.seen[0]
    below = [one for one, (level, _) in zip(seen, keys, strict=True) if level == 0]
    assert len(below) >= 20 + 15 - 1
    assert not set(below) & set(first)


def test_a_proxy_really_scores_level_0():
    level0 = Level0(Digits(), proxy="params", per_proposal=2, channels=4, cells=1, stages=1, batch_size=4)
    drawn = [
        SPACE.at(0),
        SPACE.at(SPACE.size - 1),
        SPACE.parse(
            "|nor_conv_3x3~0|+" * 1 + "|nor_conv_3x3~0|"
            "nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
        ),
    ]
    scores = level0.scores(drawn, seed=0)
    assert np.argmax(scores) == 2


@pytest.mark.parametrize(
    ("options", "field"),
    [({"n_batch": 0}, "n_batch"), ({"epsilon": 2}, "epsilon"), ({"n_candidates": 0}, "n_candidates")],
)
def test_impossible_settings_are_refused(options, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        RankPredictor(Oracle(), **options)


def test_an_unknown_proxy_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"^proxy: no proxy 'sinflow'; there are .*synflow"):
        Level0(Digits(), proxy="sinflow")


def test_more_proposals_than_architectures_are_refused():
    problems = list(RankPredictor(rankers.Oracle(), n_proposals=20_000).problems(SPACE))
    assert problems == [("n_proposals", "nas_bench_201 has 15,625 architectures only")]
