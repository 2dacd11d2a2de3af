"""Sweeps: the ranges that a configuration gives, and grid, random and Optuna's samplers over them."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from raynas.errors import InputError
from raynas.search.asktell import Objective, Report, SearchContext
from raynas.search.searcher.sweep import Sweep
from raynas.search.sweep import Interval, Listed, ranges
from raynas.spaces import get_space

OBJECTIVE = Objective("loss", "min")


def context(**sweep):
    return SearchContext(get_space("nas_bench_201"), OBJECTIVE, 0, ranges(sweep))


def asked(searcher):
    """All that a searcher proposes, each told the square of its ``x``."""
    found = []
    while (proposal := searcher.ask()) is not None:
        found.append(dict(proposal.config))
        searcher.tell(proposal.id, Report({"loss": float(proposal.config.get("x", 0)) ** 2}, 1))
    return found


def test_a_grid_is_every_combination_with_the_last_key_changing_fastest():
    spec = Sweep()
    found = asked(spec.start(context(x={"grid": [0.1, 1.0]}, seed={"grid": [0, 1, 2]})))
    assert found == [{"x": x, "seed": seed} for x in (0.1, 1.0) for seed in (0, 1, 2)]


def test_a_grid_may_be_cut_short():
    assert asked(Sweep(n_proposals=2).start(context(x={"grid": [3, 1, 2]}))) == [{"x": 3}, {"x": 1}]


def test_nothing_to_sweep_is_one_trial_of_the_configuration_as_it_is():
    assert asked(Sweep().start(context())) == [{}]


def test_random_draws_stay_in_their_ranges_and_fill_them():
    sweep = {
        "x": {"uniform": [-1, 2]},
        "rho": {"log_uniform": [1e-4, 1.0]},
        "n": {"integers": [2, 4]},
        "name": {"grid": ["a", "b"]},
    }
    found = asked(Sweep(sampler="random", n_proposals=2000).start(context(**sweep)))
    assert all(-1 <= one["x"] <= 2 and 1e-4 <= one["rho"] <= 1 for one in found)
    assert sum(one["x"] for one in found) / 2000 == pytest.approx(0.5, abs=4 * math.sqrt(0.75 / 2000))
    below = sum(one["rho"] < 1e-2 for one in found)
    assert abs(below - 1000) < 4 * math.sqrt(500), "half of the logarithms lie below the middle one"
    assert set(Counter(one["n"] for one in found)) == {2, 3, 4}
    assert set(Counter(one["name"] for one in found)) == {"a", "b"}


def test_a_sampler_of_optuna_finds_the_bottom_of_a_bowl_better_than_chance():
    sweep = {"x": {"uniform": [-10, 10]}}
    found = asked(Sweep(sampler="TPESampler", n_proposals=60, parallelism=1).start(context(**sweep)))
    late = sorted(abs(one["x"]) for one in found[30:])
    assert late[15] < 2, "16 of 30 uniform draws are below 2 with a probability of 1e-5"


def test_ranges_are_read_as_they_are_written():
    found = ranges(
        {
            "a": {"grid": [1, "x", None, True]},
            "b": {"uniform": [0, 0.5]},
            "c": {"log_uniform": [0.1, 10]},
            "d": {"integers": [1, 3]},
        }
    )
    assert found == {
        "a": Listed((1, "x", None, True)),
        "b": Interval(0, 0.5),
        "c": Interval(0.1, 10, log=True),
        "d": Interval(1, 3, whole=True),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], "is no range; give one of grid"),
        ({}, "is no range"),
        ({"grid": [1], "uniform": [0, 1]}, "is no range"),
        ({"gird": [1, 2]}, "did you mean 'grid'"),
        ({"grid": []}, "the list is empty"),
        ({"grid": "abc"}, "is not a list"),
        ({"grid": [1, 1]}, "holds a value twice"),
        ({"grid": [{"name": "a2m"}]}, "sweep a key below it, such as method.x.name"),
        ({"uniform": [1]}, "are not two numbers"),
        ({"uniform": ["a", "b"]}, "are not two numbers"),
        ({"uniform": [2, 1]}, "is no interval"),
        ({"uniform": [0, math.inf]}, "is no interval"),
        ({"log_uniform": [0, 1]}, "has no logarithm"),
        ({"integers": [0.5, 3]}, "not both whole"),
    ],
)
def test_a_range_that_is_none_is_refused_with_its_path(given, message):
    with pytest.raises(ValueError, match=r"^method\.x: ") as refused:
        ranges({"method.x": given})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "random"}, "n_proposals: is missing"),
        ({"n_proposals": 0}, "n_proposals: 0 is below 1"),
        ({"sampler_options": {"seed": 1}}, "sampler_options: sampler grid takes none"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sweep(**options)


def test_a_grid_over_an_interval_is_refused():
    with pytest.raises(InputError, match="a grid needs lists, and x is an interval"):
        Sweep().start(context(x={"uniform": [0, 1]}))
