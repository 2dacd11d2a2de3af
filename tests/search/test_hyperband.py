"""Hyperband's brackets against the table of its paper, and cohorts that take turns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from levels import OBJECTIVE, drive

from raynas.config import load_text
from raynas.errors import ConfigError
from raynas.journal import MemoryJournal
from raynas.search.asktell import SearchContext
from raynas.search.run import Run
from raynas.search.scheduler.hyperband import Hyperband
from raynas.search.searcher.random_search import RandomSearch
from raynas.spaces import get_space

# Li et al. 2018, Table 1: R = 81, eta = 3; trials and epochs at each rung, s = 4 to 0.
TABLE_1 = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]


def planned(spec):
    """Trials and epochs at each rung of each bracket."""
    return [
        [
            (bracket.n // spec.eta**rung, epochs)
            for rung, epochs in enumerate((*bracket.rungs, spec.max_epochs))
        ]
        for bracket in spec.brackets
    ]


def test_the_brackets_are_those_of_the_paper():
    assert planned(Hyperband()) == TABLE_1


@pytest.mark.parametrize(
    ("max_epochs", "brackets"),
    [(20, [[(9, 2), (3, 7), (1, 20)], [(5, 7), (1, 20)], [(3, 20)]]), (3, [[(3, 1), (1, 3)], [(2, 3)]])],
)
def test_epochs_that_are_no_power_of_eta_are_rounded(max_epochs, brackets):
    assert planned(Hyperband(max_epochs)) == brackets


def test_a_nas_bench_201_training_has_five_brackets():
    made = planned(Hyperband(200))
    assert [len(bracket) for bracket in made] == [5, 4, 3, 2, 1]
    assert [epochs for _, epochs in made[0]] == [2, 7, 22, 67, 200]


def test_a_power_of_eta_is_not_lost_to_floating_point():
    """log(243, 3) is 4.999... there, and R = 243 has five halvings."""
    assert planned(Hyperband(243))[0][0] == (243, 1)


def played(spec, n_proposals, worth, **options):
    searcher = RandomSearch(n_proposals).start(SearchContext(get_space("nas_bench_201"), OBJECTIVE))
    run = Run(searcher, spec.start(OBJECTIVE), OBJECTIVE, MemoryJournal(), clock=lambda: 0.0)
    epochs = sorted({epochs for bracket in planned(spec) for _, epochs in bracket})
    trained = drive(run, lambda key, _, epoch: float(worth[key]), epochs, **options)
    reached = {key: max(epoch for trial, epoch, _ in trained if trial == key) for key, *_ in trained}
    return reached, trained


@pytest.mark.parametrize("slots", [1, 6])
def test_a_round_trains_every_bracket_as_planned_and_the_next_begins_again(slots):
    """R = 20: 9 * 2 + 3 * 5 + 13, then 5 * 7 + 13, then 3 * 20, all twice."""
    spec, worth = Hyperband(20), np.random.default_rng(0).permutation(34)
    reached, trained = played(spec, 34, worth, slots=slots)
    assert sum(epochs for *_, epochs in trained) == 2 * (46 + 48 + 60)
    for first in (0, 17):
        bold, middle, plain = (
            range(first, first + 9),
            range(first + 9, first + 14),
            range(first + 14, first + 17),
        )
        assert Counter(reached[key] for key in bold) == {2: 6, 7: 2, 20: 1}
        assert Counter(reached[key] for key in middle) == {7: 4, 20: 1}
        assert Counter(reached[key] for key in plain) == {20: 3}
        for cohort in (bold, middle):
            assert reached[max(cohort, key=lambda key: worth[key])] == 20


def test_a_bracket_costs_less_than_the_paper_counts_since_trials_go_on_where_they_paused():
    spec, budget = Hyperband(), 5 * 81
    for bracket in planned(spec):
        anew = sum(n * epochs for n, epochs in bracket)
        on = sum(
            n * (epochs - before)
            for (n, epochs), before in zip(bracket, [0, *(e for _, e in bracket)], strict=False)
        )
        assert 0.8 * budget < anew <= 1.1 * budget
        assert on <= anew


def test_in_a_config_the_longest_training_must_be_the_workloads():
    text = (
        "search_space: nas_bench_201\ndataset: digits\n"
        "workload: {name: train_architecture, epochs: 20}\nsearcher: random_search\n"
        "scheduler: {name: hyperband, max_epochs: 27}\nreport: {metric: valid_accuracy_pct}\n"
    )
    with pytest.raises(
        ConfigError, match=r"scheduler\.max_epochs: 27 is not where the workload ends; give 20"
    ):
        load_text(text, source="x.yaml")
    load_text(text.replace("27", "20"), source="x.yaml")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"eta": 1}, "eta"), ({"max_epochs": 2}, "max_epochs"), ({"max_epochs": 0}, "max_epochs")],
)
def test_settings_without_a_rung_are_refused(options, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        Hyperband(**options)
