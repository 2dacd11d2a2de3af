"""The comparison of searches on a small space: equal budgets, known laws, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from raynas.benchmarks import About, Runs, Table, write
from raynas.cli import main
from raynas.config import Experiment
from raynas.errors import InputError
from raynas.search.asktell import Objective
from raynas.search.searcher.local_search import LocalSearch
from raynas.simulation import Cluster, simulate
from raynas.studies import _baselines_experiments, _baselines_table
from raynas.studies._baselines_methods import NAMES, methods
from raynas.studies.baselines import Baselines
from raynas.workloads.query_table import QueryTable

SIZE, LAST = 125, 9
FULL = [name for name in NAMES if not name.startswith("asha")]
OPTIONS = {"budget": 20, "repeats": 3, "n_nbr": 5}


@pytest.fixture(scope="module")
def make(tmp_path_factory, small_space):
    """Writes a table of made-up curves, with or without what some searches need."""

    def table(*, epochs=tuple(range(1, LAST + 1)), seeds=(0, 1, 2), costs=True, noise=1.0, n=SIZE):
        rng = np.random.default_rng(5)
        worth = rng.permutation(np.linspace(60, 95, SIZE))[:n, None]
        shape = (n, len(epochs))
        runs = []
        for seed in seeds:
            rise = 20 * np.exp(-np.array(epochs) / 3)
            accuracy = worth - rise * (epochs[-1] > np.array(epochs)) + noise * rng.normal(size=shape)
            metrics = {
                "valid_accuracy_pct": np.clip(accuracy, 0, 100),
                "valid_loss": 5 - accuracy / 25,
                "test_accuracy_pct": np.clip(accuracy + noise * rng.normal(size=shape), 0, 100),
            }
            if costs:
                metrics["cost_s"] = np.broadcast_to(np.linspace(0.5, 2, n)[:, None], shape)
            runs.append(Runs("toy", epochs[-1], seed, epochs, np.arange(n), metrics))
        path = tmp_path_factory.mktemp("tables") / "toy.parquet"
        write(path, About(small_space.name, "a test", "nothing"), runs)
        return Table.open(path)

    return table


@pytest.fixture(scope="module")
def table(make):
    return make()


def quiet(what):
    pass


def play(table, **options):
    """The frames of a study."""
    study = Baselines(**{"table": str(table.path), **OPTIONS, **options})
    material = _baselines_table.read(table, study)
    chosen = [one for one in methods(study) if not study.methods or one.name in study.methods]
    return _baselines_experiments.run(material, chosen, study, quiet)


@pytest.fixture(scope="module")
def frames(table):
    return play(table)


@pytest.fixture(scope="module")
def written(table, tmp_path_factory):
    """A report by the command line."""
    out = tmp_path_factory.mktemp("reports") / "baselines"
    options = ["--budget", "30", "--repeats", "5", "--methods", "local_search", "asha_stopping"]
    assert main(["study", "baselines", "--table", str(table.path), "--out", str(out), *options]) == 0
    return SimpleNamespace(out=out, text=(out / "REPORT.md").read_text())


def one_curve(frames, method, axis="epochs", repeat=0):
    curves = frames.curves
    return curves[
        (curves["method"] == method) & (curves["axis"] == axis) & (curves["repeat"] == repeat)
    ].reset_index(drop=True)


@pytest.mark.parametrize("method", FULL)
@pytest.mark.parametrize("axis", ["epochs", "seconds"])
def test_without_early_stopping_the_incumbents_own_reading_only_rises(frames, method, axis):
    readings = one_curve(frames, method, axis)["reading"].dropna()
    assert len(readings) > 10
    assert (readings.diff().dropna() >= 0).all()


@pytest.mark.parametrize("method", ["asha_promotion", "asha_stopping"])
def test_an_incumbent_of_asha_rises_within_a_rung_and_never_falls_to_a_lower_one(frames, method):
    curve = one_curve(frames, method).dropna()
    assert (curve["read_at"].diff().dropna() >= 0).all()
    assert set(curve["read_at"]) <= {1, 3, LAST}
    for _, on_rung in curve.groupby("read_at"):
        assert (on_rung["reading"].diff().dropna() >= 0).all()


def test_every_search_has_the_same_budget(frames):
    budget = OPTIONS["budget"] * LAST
    spent = frames.searches.set_index("method")["epochs"]
    assert (spent[FULL] == budget).all()
    beyond = spent[["asha_promotion", "asha_stopping"]] - budget
    assert ((beyond >= 0) & (beyond < LAST)).all()
    of_epochs = frames.curves[frames.curves["axis"] == "epochs"]
    assert (of_epochs.groupby(["method", "repeat"])["cost"].max() == budget).all()


def test_a_value_is_the_mean_final_test_accuracy_of_the_incumbent(table, frames):
    known = frames.curves.dropna()
    truth = table.query("test_accuracy_pct", known["index"].to_numpy(dtype=int))
    assert known["test_accuracy_pct"].to_numpy() == pytest.approx(truth)


def test_a_reading_is_one_training_of_the_incumbent_at_that_epoch(table, frames):
    """Of ASHA's; those of NA-RS are aggregates."""
    for _, row in one_curve(frames, "asha_promotion").dropna().iterrows():
        of_seeds = table.curves("valid_accuracy_pct", int(row["index"]))[:, int(row["read_at"]) - 1]
        assert np.isclose(of_seeds, row["reading"]).any()


def test_the_last_incumbent_is_what_the_run_itself_calls_its_best(table, frames):
    """Local search proposes nothing twice, so its budget is a number of proposals."""
    for repeat in range(OPTIONS["repeats"]):
        experiment = Experiment(
            search_space=table.about.space,
            workload=QueryTable(seed="draw"),
            searcher=LocalSearch(n_proposals=OPTIONS["budget"]),
            report=Objective("valid_accuracy_pct"),
            table=str(table.path),
            seed=repeat,
        )
        best = simulate(experiment, Cluster()).run.best
        last = one_curve(frames, "local_search", repeat=repeat).iloc[-1]
        assert (table.space.index(best.architecture), best.value) == (last["index"], last["reading"])


def test_na_rs_pays_for_its_whole_neighborhood_before_it_has_an_incumbent(frames):
    first = one_curve(frames, "na_rs_mean").dropna()["cost"].min()
    at_least = OPTIONS["n_nbr"] * LAST
    grid = one_curve(frames, "na_rs_mean")["cost"]
    assert first == grid[grid >= at_least].min()


def expected_best(values, n):
    """The mean maximum of n distinct values, all subsets being equally likely, by order statistics."""
    ordered = sorted(values)
    size = len(ordered)
    return sum(value * math.comb(below, n - 1) / math.comb(size, n) for below, value in enumerate(ordered))


def test_random_search_finds_what_order_statistics_expect(make):
    """A proposal drawn again costs nothing, so n trainings are a uniform subset of n architectures."""
    exact = make(seeds=(0,), noise=0.0)
    fractions, budget = (0.1, 0.5, 1.0), 10
    made = play(
        exact, methods=("random_search",), repeats=100, budget=budget, reading="mean", fractions=fractions
    )
    truth = exact.query("test_accuracy_pct")
    for row in made.summary.itertuples():
        error = row.std / math.sqrt(row.n_repeats - 1)
        expected = expected_best(truth, round(row.fraction * budget))
        assert row.mean == pytest.approx(expected, abs=3 * error)


def test_with_epochs_of_one_length_seconds_are_epochs(table):
    made = play(table, epoch_s=0.5, methods=("random_search", "asha_promotion"), repeats=1)
    assert made.searches["seconds"].to_numpy() == pytest.approx(0.5 * OPTIONS["budget"] * LAST, rel=0.01)
    for method in ("random_search", "asha_promotion"):
        epochs, seconds = one_curve(made, method), one_curve(made, method, "seconds")
        for cost, index in zip(seconds["cost"] / 0.5, seconds["index"], strict=True):
            before = epochs[epochs["cost"] <= cost + 1e-6]
            after = epochs[epochs["cost"] >= cost - 1e-6]
            between = {*before["index"].tail(1).fillna(-1), *after["index"].head(1).fillna(-1)}
            if len(between) == 1 and not pd.isna(index):
                assert index in between


def test_on_one_worker_the_seconds_are_those_of_the_trainings(table):
    made = play(table, methods=("local_search",), repeats=1)
    experiment = Experiment(
        search_space=table.about.space,
        workload=QueryTable(seed="draw"),
        searcher=LocalSearch(n_proposals=OPTIONS["budget"]),
        report=Objective("valid_accuracy_pct"),
        table=str(table.path),
    )
    costs = simulate(experiment, Cluster()).frame()["cost_s"]
    seconds = made.searches.set_index("method").loc["local_search", "seconds"]
    assert seconds == pytest.approx(costs.sum(), abs=1e-3)


def test_what_was_drawn_again_is_proposed_but_not_paid_for(table):
    made = play(table, methods=("random_search",), budget=100)
    assert (made.searches["unique"] == 100).all()
    assert (made.searches["nominal"] > 100).all()
    assert (made.searches["epochs"] == 100 * LAST).all()


def test_a_search_that_has_seen_the_whole_space_keeps_what_it_found(table):
    made = play(table, methods=("random_search", "local_search"), budget=200, reading="mean")
    assert (made.searches["epochs"] == SIZE * LAST).all()
    best = int(np.argmax(table.query("valid_accuracy_pct")))
    full = made.curves[(made.curves["axis"] == "epochs") & (made.curves["cost"] == 200 * LAST)]
    assert (full["index"] == best).all()


def test_the_same_seed_gives_the_same_frames_and_another_does_not(table):
    options = {"methods": ("random_search", "tpe", "asha_stopping"), "repeats": 2, "budget": 15}
    first, again, other = (play(table, seed=seed, **options) for seed in (1, 1, 7))
    for name in ("curves", "summary", "searches"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    assert not first.curves["index"].equals(other.curves["index"])


def test_repeats_are_the_seeds_that_follow(table):
    """So that one repeat can be played alone."""
    options = {"methods": ("random_search", "regularized_evolution"), "epoch_s": 1.0}
    several, alone = play(table, **options), play(table, **options, seed=2, repeats=1)
    ours = several.curves[(several.curves["seed"] == 2) & (several.curves["axis"] == "epochs")]
    theirs = alone.curves[alone.curves["axis"] == "epochs"]
    assert ours["index"].tolist() == theirs["index"].tolist()


def test_several_workers_spend_the_same_epochs_in_fewer_seconds(table):
    options = {"methods": ("random_search", "asha_promotion"), "repeats": 2}
    one, four = play(table, **options), play(table, workers=4, **options)
    assert (four.searches["seconds"] < 0.5 * one.searches["seconds"]).all()
    of_epochs = four.curves[four.curves["axis"] == "epochs"]
    assert of_epochs["cost"].max() == OPTIONS["budget"] * LAST


def test_a_loss_is_minimised(table):
    made = play(table, signal_metric="valid_loss", methods=("random_search",))
    readings = one_curve(made, "random_search")["reading"].dropna()
    assert (readings.diff().dropna() <= 0).all()
    assert readings.iloc[-1] < readings.iloc[0]


def test_random_search_is_tested_against_nobody_and_all_others_against_it(frames):
    p_values = frames.summary[frames.summary["fraction"] == 1.0].set_index("method")["p_above_random"]
    assert math.isnan(p_values.pop("random_search"))
    assert p_values.between(0, 1).all()
    assert (frames.summary["regret"].dropna() >= 0).all()


def test_a_table_without_costs_is_refused_with_the_way_out(make):
    without = make(costs=False)
    with pytest.raises(InputError, match=r"no cost_s.*epoch_s"):
        Baselines(table=str(without.path)).run(quiet)
    made = play(without, epoch_s=2.0, methods=("random_search",), repeats=1)
    assert made.searches["seconds"].tolist() == pytest.approx([2.0 * OPTIONS["budget"] * LAST])


def test_on_a_table_of_final_epochs_asha_is_left_out_with_the_reason(make):
    final = make(epochs=(LAST,))
    chosen = ("random_search", "local_search", "asha_promotion")
    made = Baselines(table=str(final.path), **OPTIONS, methods=chosen).run(quiet)
    assert "**ASHA promotion** is left out: the table knows epoch 9 only" in made.text
    comparison = next(section for section in made.sections if section.name == "comparison")
    assert set(comparison.frame["method"]) == {"random_search", "local_search"}


def test_an_incomplete_table_is_refused(make):
    partial = make(n=100)
    with pytest.raises(InputError, match="runs of 100 of 125"):
        Baselines(table=str(partial.path)).run(quiet)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"signal_metric": "valid_los"}, "no dataset has valid_los"),
        ({"signal": "toys"}, "did you mean 'toy'"),
        ({"schedule": 200}, "there are schedules of 9"),
        ({"methods": ("tpa",)}, "did you mean 'tpe'"),
        ({"mode": "up"}, "max or min"),
        ({"reading": "median"}, "draw or mean"),
        ({"fractions": (0.0,)}, "fractions: 0.0"),
        ({"budget": 0}, "budget: 0"),
        ({"epoch_s": 0.0}, "epoch_s: 0.0"),
        ({"n_nbr": 14, "methods": ("na_rs_mean",)}, "n_nbr: 14 exceeds the 13"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(table, options, message):
    with pytest.raises(InputError, match=message):
        Baselines(table=str(table.path), **options).run(quiet)


def test_a_budget_smaller_than_a_neighborhood_leaves_na_rs_without_a_result(table):
    made = play(table, budget=3, repeats=1, methods=("random_search", "na_rs_mean"))
    rows = made.summary[made.summary["fraction"] == 1.0].set_index("method")
    assert math.isnan(rows.loc["na_rs_mean", "mean"])
    assert rows.loc["random_search", "n_repeats"] == 1


def test_the_report_has_curves_comparison_counts_and_settings(written):
    names = {path.name for path in written.out.iterdir()}
    assert {"curves.png", "curves.parquet", "comparison.md", "comparison.parquet", "searches.md"} <= names
    assert (written.out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "eta 3, grace 1" in written.text
    assert "TPE" not in written.text
    table = (written.out / "comparison.md").read_text()
    assert "| method | 3 trainings | 7.5 trainings | 15 trainings | 30 trainings | regret | p |" in table
    assert "| random search |" in table


def test_options_are_values(table):
    study = Baselines(table=str(table.path), fractions=(0.5,))
    assert study.fractions == (0.5, 1.0)
    assert replace(study, budget=9).name == "baselines-toy"
