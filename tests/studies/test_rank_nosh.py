"""The study of RANK-NOSH on small tables: what it answers and spends, the claim by hand, what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from raynas.cli import main
from raynas.config import Experiment
from raynas.data.dataset.digits import Digits
from raynas.errors import InputError
from raynas.search.asktell import Objective
from raynas.search.searcher.rank_predictor import Level0
from raynas.simulation import Cluster, simulate
from raynas.studies import _baselines_table, _rank_nosh_claim, _rank_nosh_experiments, _rank_nosh_summaries
from raynas.studies._rank_nosh_experiments import Frames
from raynas.studies._rank_nosh_level0 import RememberedLevel0
from raynas.studies._rank_nosh_methods import NAMES, PLAIN, RANK_NOSH, components, usual_levels
from raynas.studies._rank_nosh_plan import planned
from raynas.studies.rank_nosh import RankNosh
from raynas.workloads.query_table import CostModel, QueryTable

LAST, LEVELS = 20, (1, 2, 5, 20)
PAUSING = ("nosh", "successive_halving", "hyperband", "asha_promotion")
OPTIONS = {
    "budget": 30, "repeats": 2, "ablation_repeats": 1, "n_first": 8, "n_batch": 4, "n_pool": 24, "hidden": 4,
    "fit_epochs": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def table(make_table):
    """Its trainings are said to be of tiny networks, so that proxies are quick."""
    return make_table(constants={"workload": {"channels": 2, "cells": 1, "stages": 1}})


def quiet(what):
    pass


def play(table, **options):
    """The plan and the frames of a study."""
    study = RankNosh(**{"table": str(table.path), **OPTIONS, **options})
    material = _baselines_table.read(table, study.searched)
    plan = planned(material, study)
    return plan, _rank_nosh_experiments.run(material, plan, study, quiet)


@pytest.fixture(scope="module")
def frames(table):
    """Everything but level 0."""
    return play(table, ablations=("levels", "ratio", "loss", "encoder"))[1]


@pytest.fixture(scope="module")
def written(table, tmp_path_factory):
    """A report by the command line, level 0 and all."""
    out = tmp_path_factory.mktemp("reports") / "rank-nosh"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    arguments = ["study", "rank-nosh", "--table", str(table.path), "--proxies", "params", "--out", str(out)]
    assert main([*arguments, *options]) == 0
    return SimpleNamespace(out=out, text=(out / "REPORT.md").read_text())


def pyramid_cost(levels, r, n_pool):
    """The sum over levels of ``ceil(P r^(i-1)) * (e_i - e_(i-1))``."""
    quotas = [math.ceil(round(n_pool * r**level, 9)) for level in range(len(levels))]
    return sum(quota * epochs for quota, epochs in zip(quotas, np.diff(levels, prepend=0), strict=True))


# What searches answer and spend


def test_an_answer_is_worth_its_final_test_accuracy_and_was_read_in_one_training(table, frames):
    answers = frames.answers
    truth = table.query("test_accuracy_pct", answers["index"].to_numpy())
    assert answers["test_accuracy_pct"].to_numpy() == pytest.approx(truth)
    curves = table.curves("valid_accuracy_pct", answers["index"].to_numpy())
    of_seeds = curves[np.arange(len(answers)), :, answers["read_at"].to_numpy() - 1]
    assert np.isclose(of_seeds, answers["reading"].to_numpy()[:, None]).any(axis=1).all()


@pytest.mark.parametrize("method", [RANK_NOSH, PLAIN, *NAMES])
def test_answers_come_from_the_highest_epoch_so_far_and_rise_on_it(frames, method):
    epochs = {LAST} if method not in (RANK_NOSH, *PAUSING) else None
    for _, part in frames.answers[frames.answers["method"] == method].groupby("repeat"):
        assert part["epochs"].is_monotonic_increasing
        assert part["read_at"].is_monotonic_increasing
        assert part["read_at"].iloc[-1] == LAST
        assert epochs is None or set(part["read_at"]) == epochs
        for _, of_epoch in part.groupby("read_at"):
            assert (of_epoch["reading"].diff().dropna() >= 0).all()


def test_pausing_methods_read_at_their_rungs_and_all_others_at_the_end(frames):
    read_at = frames.answers.groupby("method")["read_at"].agg(set)
    assert read_at[RANK_NOSH] <= set(LEVELS)
    assert read_at["successive_halving"] <= {1, 3, 9, LAST}
    assert read_at["hyperband"] <= {2, 7, LAST}
    assert read_at["levels 1, 20"] <= {1, LAST}


def test_pyramids_cost_what_their_formula_says_and_all_others_the_budget(frames):
    spent = frames.searches.groupby("method")["epochs"].agg(set)
    budget = OPTIONS["budget"] * LAST
    for method, levels, r in (
        (RANK_NOSH, LEVELS, 0.5), ("nosh", LEVELS, 0.5), ("hinge loss", LEVELS, 0.5), ("MLP", LEVELS, 0.5),
        ("levels 2, 5, 20", (2, 5, 20), 0.5), ("levels 1, 20", (1, 20), 0.5),
        ("levels 1, 5, 10, 20", (1, 5, 10, 20), 0.5), ("r = 0.3", LEVELS, 0.3), ("r = 0.7", LEVELS, 0.7),
    ):  # fmt: skip
        assert spent.pop(method) == {pyramid_cost(levels, r, OPTIONS["n_pool"])}
    for method in (PLAIN, "regularized_evolution", "tpe", "random_search"):
        assert spent.pop(method) == {budget}
    assert set(spent.index) == {"successive_halving", "hyperband", "asha_promotion"}
    # those that pause may be beyond it by a stretch, or have tried the whole space before
    assert all(epochs < budget + LAST for of in spent for epochs in of)
    assert min(spent["hyperband"]) >= budget
    assert (frames.searches["charged"] <= budget).all()


@pytest.mark.parametrize(("last", "epochs"), [(200, 5550), (12, 292), (50, 990), (20, 420)])
def test_usual_levels_cost_a_pool_of_100_what_the_paper_spends(last, epochs):
    searcher, scheduler = components(RankNosh(), usual_levels(last))
    assert pyramid_cost(scheduler.levels, scheduler.r, searcher.n_proposals) == epochs


def test_the_last_answer_is_what_the_run_itself_calls_its_best(table, frames):
    searcher, scheduler = components(RankNosh(**OPTIONS), LEVELS)
    for repeat in range(OPTIONS["repeats"]):
        experiment = Experiment(
            search_space=table.about.space,
            workload=QueryTable(seed="draw", cost=CostModel(1.0)),
            searcher=searcher,
            report=Objective("valid_accuracy_pct"),
            table=str(table.path),
            scheduler=scheduler,
            seed=repeat,
        )
        best = simulate(experiment, Cluster()).run.best
        searches = frames.searches.set_index(["method", "repeat"])
        assert searches.loc[(RANK_NOSH, repeat), "index"] == table.space.index(best.architecture)


def test_where_curves_never_cross_nosh_finds_the_best_of_its_pool_for_a_part_of_the_epochs(make_table):
    """And random search, whose draws are the same, needs all of them for it."""
    exact = make_table(seeds=(0,), noise=0.0)
    n_pool = 25
    options = {"n_first": n_pool, "n_pool": n_pool, "reading": "mean", "methods": ("nosh", "random_search")}
    _, frames = play(exact, **options, ablation_repeats=0, repeats=5)
    truth = exact.query("test_accuracy_pct")
    for repeat in range(5):
        there = frames.answers[frames.answers["repeat"] == repeat]
        nosh, random = (there[there["method"] == name] for name in ("nosh", "random_search"))
        of_pool = random[random["epochs"] <= n_pool * LAST]
        assert nosh["index"].iloc[-1] == of_pool["index"].iloc[-1]
        assert nosh["test_accuracy_pct"].iloc[-1] == pytest.approx(truth[of_pool["index"]].max())
    spent = frames.searches.groupby("method")["epochs"].first()
    assert spent["nosh"] == pyramid_cost(LEVELS, 0.5, n_pool) == 25 + 13 + 7 * 3 + 4 * 15


def test_the_same_seed_gives_the_same_frames_and_repeats_are_the_seeds_that_follow(table):
    options = {"methods": ("successive_halving",), "ablations": ("ratio",), "budget": 12}
    first, again = (play(table, **options)[1] for _ in range(2))
    pd.testing.assert_frame_equal(first.answers, again.answers)
    pd.testing.assert_frame_equal(first.searches, again.searches)
    alone = play(table, **options, seed=1, repeats=1)[1].answers
    ours = first.answers[(first.answers["seed"] == 1) & ~first.answers["method"].str.startswith("r = ")]
    theirs = alone[~alone["method"].str.startswith("r = ")]
    assert ours["index"].tolist() == theirs["index"].tolist()


def test_a_metric_may_be_minimised(table):
    answers = play(table, mode="min", ablation_repeats=0, methods=("hyperband",))[1].answers
    for _, of_epoch in answers.groupby(["method", "repeat", "read_at"]):
        assert (of_epoch["reading"].diff().dropna() <= 0).all()


# The claim, by hand


@pytest.mark.parametrize(
    ("worth", "target", "expected"),
    [
        ([80, 85, 90], 85, (20, 20)),
        ([90, 80, 90], 85, (10, 30)),
        ([90, 80, 80], 85, (10, math.inf)),
        ([80, 80, 80], 85, (math.inf, math.inf)),
        ([math.nan, 90, 90], 85, (20, 20)),
        ([90, 90, 90], 85, (10, 10)),
    ],
)
def test_a_curve_comes_to_a_target_for_the_first_time_and_for_good(worth, target, expected):
    costs = np.array([10.0, 20.0, 30.0])
    assert _rank_nosh_claim.reached(costs, np.array(worth, float), target) == expected


def by_hand():
    """Four repeats: RANK-NOSH ends at 90 after 100 epochs, the other there at 300, 500, twice never."""
    changes = {
        RANK_NOSH: [[(10, 70), (100, 90)]] * 4,
        PLAIN: [
            [(20, 60), (300, 92)],
            [(20, 90), (40, 80), (500, 90)],
            [(20, 60), (100, 89)],
            [(20, 90), (50, 70)],
        ],
    }
    rows = [
        (method, repeat, *change)
        for method, repeats in changes.items()
        for repeat, of in enumerate(repeats)
        for change in of
    ]
    answers = pd.DataFrame(rows, columns=["method", "repeat", "epochs", "test_accuracy_pct"])
    searches = answers.groupby(["method", "repeat"], sort=False).last().reset_index()
    searches["charged"] = searches["epochs"] = searches["method"].map({RANK_NOSH: 100, PLAIN: 600})
    return Frames(answers, searches)


def test_the_ratio_counts_repeats_that_never_get_there_as_infinite():
    frames = by_hand()
    needed = _rank_nosh_claim.needed(frames, [RANK_NOSH, PLAIN])
    after = needed[(needed["leader"] == RANK_NOSH) & (needed["chaser"] == PLAIN)]
    assert after["ratio"].tolist() == [3, 5, math.inf, math.inf]
    assert after["first_ratio"].tolist() == [3, 0.2, math.inf, 0.2]
    before = needed[needed["leader"] == PLAIN]
    assert before["target"].tolist() == [92, 90, 89, 70]
    assert before["epochs"].tolist() == [math.inf, 100, 100, 10]
    assert before["ratio"].tolist() == pytest.approx([math.inf, 1 / 6, 1 / 6, 1 / 60])

    options = RankNosh(repeats=4, ablation_repeats=0)
    row = _rank_nosh_claim.summary(needed, frames, options).iloc[1]
    assert (row["leader"], row["chaser"], row["n_never"], row["n_repeats"]) == (RANK_NOSH, PLAIN, 2, 4)
    assert [row[name] for name in ("q25", "q50", "q75")] == [3, 5, math.inf]
    assert math.isinf(row["mean_ratio"]), "the mean ends at (92 + 90 + 89 + 70) / 4, below 90"


def test_the_mean_curves_ratio_and_its_interval():
    """Without the repeat that gets worse the mean is at 90 from 500 epochs on."""
    frames = by_hand()
    kept = Frames(
        frames.answers[frames.answers["repeat"] < 3], frames.searches[frames.searches["repeat"] < 3]
    )
    needed = _rank_nosh_claim.needed(kept, [RANK_NOSH, PLAIN])
    summary = _rank_nosh_claim.summary(needed, kept, RankNosh(repeats=3, ablation_repeats=0))
    row = summary.iloc[1]
    assert row["mean_ratio"] == pytest.approx(5.0)
    assert row["low"] == pytest.approx(3.0), (
        "of resamples, many have the first repeat alone or most of the time"
    )
    assert math.isinf(row["high"])


def test_after_equal_epochs_a_search_that_ended_keeps_its_answer():
    frame = _rank_nosh_summaries.comparison(
        by_hand(), [RANK_NOSH, PLAIN], cost=100, budget=600, optimum=95, repeats=4
    )
    assert frame["cost"].unique().tolist() == [50, 100, 200, 500, 600]
    of = frame.set_index(["method", "cost"])
    assert of.loc[(RANK_NOSH, 600), "mean"] == 90
    assert of.loc[(RANK_NOSH, 600), "regret"] == 5
    assert of.loc[(PLAIN, 100), ["mean", "q50", "q75"]].tolist() == [(60 + 80 + 89 + 70) / 4, 70, 80]
    # all four differences are positive: p = 2 ** -4
    assert of.loc[(PLAIN, 100), "p_rank_nosh_above"] == pytest.approx(1 / 16)


# Level 0


def test_a_proxy_scores_each_architecture_once_whatever_the_seed(monkeypatch, small_space):
    asked = []

    def scores(self, architectures, seed):
        asked.append((list(architectures), seed))
        return [float(small_space.index(one)) for one in architectures]

    monkeypatch.setattr(Level0, "scores", scores)
    level0 = RememberedLevel0(Digits(), "params", seed=7)
    first, second, third = (small_space.at(index) for index in (5, 6, 9))
    assert level0.scores([first, second, first], 1) == [5, 6, 5]
    assert level0.scores([third, first], 2) == [9, 5]
    assert asked == [([first, second], 7), ([third], 7)]


def test_level_0_is_left_out_with_the_reason_where_there_are_no_images(make_table):
    plan, frames = play(make_table(dataset="weather"), ablations=("level0", "loss"))
    assert "no images of 'weather'" in plan.left_out["level 0"]
    assert "hinge loss" in set(frames.searches["method"])


# The report


def test_the_report_has_frames_texts_and_figures(written):
    names = {path.name for path in written.out.iterdir()}
    for section in ("curves", "comparison", "claim", "needed", "ablations", "searches"):
        assert {f"{section}.md", f"{section}.parquet"} <= names
    for figure in ("curves", "claim", "ablations"):
        assert (written.out / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert "levels at epochs 1, 2, 5, 20, r = 0.5; 8 random ones first" in written.text
    assert "The predictor without pausing needs " in written.text
    assert "The paper says 5." in written.text


def test_the_claim_stands_beside_the_published_budgets(written):
    text = (written.out / "claim.md").read_text()
    assert "| NAS-Bench-201 | CIFAR-10 | 94.26 % accuracy | 292 | 1200 | 4.1 |" in text
    ratios = pd.read_parquet(written.out / "claim.parquet")
    assert len(ratios) == 17, "nine after RANK-NOSH, itself included, and it after eight"
    assert ratios[["q10", "q50", "q90", "mean_ratio", "low", "high"]].notna().all(axis=None)


def test_every_ablation_stands_beside_rank_nosh_itself(written):
    frame = pd.read_parquet(written.out / "ablations.parquet")
    assert frame.groupby("ablation")["method"].first().eq(RANK_NOSH).all()
    counts = frame.groupby("ablation", sort=False).size().to_dict()
    assert counts == {"levels": 4, "ratio": 4, "loss": 2, "encoder": 2, "level0": 2}
    text = (written.out / "ablations.md").read_text()
    assert "networks of\n2 channels, 1 stage of 1 cell" in text
    assert "32 images of digits" in text


# What it refuses


def test_searches_that_a_table_of_few_epochs_cannot_play_are_left_out(make_table):
    few = make_table(epochs=LEVELS)
    report = RankNosh(str(few.path), **OPTIONS, ablations=("levels", "loss")).run(quiet)
    for label in ("successive halving", "Hyperband", "ASHA", "levels 1, 5, 10, 20"):
        assert f"**{label}** is left out: decides at epochs " in report.text
    comparison = next(section for section in report.sections if section.name == "comparison")
    assert set(comparison.frame["method"]) == {
        RANK_NOSH, PLAIN, "nosh", "regularized_evolution", "tpe", "random_search",
    }  # fmt: skip


def test_a_table_of_final_epochs_is_refused(make_table):
    final = make_table(epochs=(LAST,))
    with pytest.raises(InputError, match=r"levels: RANK-NOSH decides at epochs 1, 2, 5, and the table knows"):
        RankNosh(str(final.path), **OPTIONS).run(quiet)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": (1, 5, 10)}, "levels: the last is at epoch 10, and the table's trainings end at 20"),
        ({"levels": (5, 2, 20)}, "levels: .* must be epochs that increase"),
        ({"r": 0.0}, r"r: 0.0 is outside \(0, 1\]"),
        ({"n_first": 30}, "n_pool: 24 is less than the first batch of 30"),
        ({"n_pool": 200}, "n_proposals: .* has 125 architectures only"),
        ({"hidden": 1}, "hidden: 1 is too small"),
        ({"ablation_repeats": 3}, "ablation_repeats: 3 must be from 0 to the 2 repeats"),
        ({"methods": ("tpa",)}, "methods: no method 'tpa'; did you mean 'tpe'"),
        ({"ablations": ("level",)}, "ablations: no ablation 'level'; did you mean"),
        ({"proxies": ("sinflow",)}, "proxies: no proxy 'sinflow'; did you mean 'synflow'"),
        ({"budget": 0}, "budget: 0"),
        ({"reading": "median"}, "draw or mean"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(table, options, message):
    with pytest.raises(InputError, match=message):
        RankNosh(**{"table": str(table.path), **OPTIONS, **options}).run(quiet)


def test_a_budget_below_the_pyramids_cuts_it_off_and_says_so(table):
    report = RankNosh(
        **{"table": str(table.path), **OPTIONS, "budget": 3, "ablation_repeats": 0},
        methods=("random_search",),
    ).run(quiet)
    assert "RANK-NOSH is cut off by it" in report.text
    assert replace(RankNosh(table="a/toy.parquet"), seed=1).name == "rank-nosh-toy"
