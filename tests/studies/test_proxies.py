"""The study of proxies against plain loops, on parts of tables, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raynas.analysis.rank_correlation import kendall_tau
from raynas.benchmarks import About, Runs, Table, write
from raynas.cli import main
from raynas.errors import InputError
from raynas.lookup import available
from raynas.studies import _proxies_sections as sections
from raynas.studies import _proxies_table
from raynas.studies._proxies_correlations import OVERLAP, RHO, TAU, correlations, spearman, top_overlap_pct
from raynas.studies._proxies_paper import published
from raynas.studies._proxies_table import TEST_NAME, VALID_NAME, Skeleton
from raynas.studies.proxies import BASELINES, Proxies

SMALL = {"proxies": ("l2_norm", "snip"), "channels": 2, "cells": 1, "stages": 1, "resamples": 20}


def quiet(what):
    pass


@pytest.fixture(scope="session")
def study(make_table):
    """On a table of 60 of 125 architectures."""
    table = make_table(n=60)
    report = Proxies(str(table.path), n=25, repeats=2, batch_size=8, **SMALL).run(quiet)
    correlated, scored = report.sections
    return SimpleNamespace(table=table, report=report, frame=correlated.frame, scores=scored.frame)


def test_correlations_are_those_of_a_loop_over_the_scores(study):
    statistics = {TAU: stats.kendalltau, RHO: stats.spearmanr}
    for row in study.frame[study.frame["statistic"] != OVERLAP].itertuples():
        scores = study.scores[study.scores["proxy"] == row.proxy]
        column = {TEST_NAME: "test_accuracy_pct", VALID_NAME: "validation_accuracy_pct"}[row.truth]
        each = [
            statistics[row.statistic](repeat["score"], repeat[column]).statistic
            for _, repeat in scores.groupby("repeat")
        ]
        assert len(each) == 2
        assert row.mean == pytest.approx(np.mean(each))
        assert row.std_repeats == pytest.approx(np.std(each), abs=1e-12)
        assert 0 < row.std < 1


def test_truths_are_the_tables_final_accuracies_of_architectures_that_it_has(study):
    scores, space = study.scores, study.table.space
    some = scores[(scores["proxy"] == "snip") & (scores["repeat"] == 0)]
    indices = some["index"].to_numpy()
    assert len(set(indices)) == 25
    assert set(indices) <= set(study.table.architectures().tolist())
    assert some["architecture"].tolist() == [str(space.at(index)) for index in indices.tolist()]
    for metric, column in (("test", "test_accuracy_pct"), ("valid", "validation_accuracy_pct")):
        expected = study.table.query(f"{metric}_accuracy_pct", indices)
        np.testing.assert_allclose(some[column], expected, rtol=0, atol=1e-8)


def test_baselines_come_first_and_the_others_by_their_correlation(study):
    order = list(dict.fromkeys(study.frame["proxy"]))
    assert order[:2] == list(BASELINES)
    of_tau = study.frame[(study.frame["statistic"] == TAU) & (study.frame["truth"] == TEST_NAME)]
    assert of_tau["mean"].iloc[2:].is_monotonic_decreasing
    assert of_tau["above_baselines"].isna().tolist() == [True, True, False, False]
    assert study.frame["published"].isna().all()
    assert "none stand beside" in study.report.text
    assert "60 of 125 architectures" in study.report.text
    assert study.report.sections[0].finding.startswith("Kendall's tau with test accuracy: params ")


def test_another_run_says_the_same_and_another_seed_takes_other_architectures(study):
    def again(seed):
        options = {**SMALL, "proxies": ("l2_norm",)}
        return Proxies(str(study.table.path), n=25, batch_size=8, repeats=1, seed=seed, **options).run(quiet)

    frame = again(0).sections[1].frame
    first = study.scores[(study.scores["repeat"] == 0) & study.scores["proxy"].isin(["l2_norm", *BASELINES])]
    columns = ["index", "proxy", "score"]
    both = [some[columns].sort_values(["proxy", "index"], ignore_index=True) for some in (frame, first)]
    pd.testing.assert_frame_equal(*both)
    assert set(again(1).sections[1].frame["index"]) != set(frame["index"])


def test_the_command_writes_a_report_of_all_proxies(make_table, tmp_path, capsys):
    out = tmp_path / "report"
    options = ["--n", "6", "--repeats", "1", "--batch-size", "4", "--resamples", "3"]
    sizes = ["--channels", "2", "--cells", "1", "--stages", "1"]
    table = str(make_table(leave_out=("valid_accuracy_pct",)).path)
    assert main(["study", "proxies", "--table", table, *options, *sizes, "--out", str(out)]) == 0
    frame = pd.read_parquet(out / "correlations.parquet")
    assert set(frame["proxy"]) == set(available("raynas.predictors.zero_cost"))
    assert set(frame["truth"]) == {TEST_NAME}
    assert {"correlations.png", "scores.png", "REPORT.md"} <= {path.name for path in out.iterdir()}
    assert "| params |" in (out / "correlations.md").read_text()
    assert "6 architectures, repeats: 1" in capsys.readouterr().out


# What is read


def built(small_space, path, constants):
    indices = np.arange(125)
    metrics = {"test_accuracy_pct": np.linspace(50, 90, 125)[:, None]}
    runs = [Runs("digits", 1, 0, (1,), indices, metrics)]
    write(path, About(small_space.name, "a test", "nothing", constants), runs)
    return Table.open(path)


def test_networks_are_as_large_as_those_that_the_table_was_made_of(small_space, tmp_path):
    workload = {"name": "train_canonical_cell", "channels": 8, "cells": 1, "stages": 2}
    table = built(small_space, tmp_path / "made.parquet", {"workload": workload})
    assert _proxies_table.read(table, Proxies()).skeleton == Skeleton(8, 1, 2)
    assert _proxies_table.read(table, Proxies(cells=3)).skeleton == Skeleton(8, 3, 2)
    other = built(small_space, tmp_path / "other.parquet", {})
    assert _proxies_table.read(other, Proxies()).skeleton == Skeleton(16, 5, 3)
    assert str(Skeleton(8, 1, 2)) == "8 channels, 2 stages of 1 cell"


def test_a_table_of_unknown_images_asks_for_some(make_table):
    table = make_table(dataset="weather")
    with pytest.raises(InputError, match=r"no images of 'weather'.*Available: .*digits.*give one as images"):
        Proxies(str(table.path), **SMALL).run(quiet)
    options = {**SMALL, "proxies": ("l2_norm",)}
    report = Proxies(str(table.path), images="digits", n=4, repeats=1, **options).run(quiet)
    assert "on weather, schedule of 20 epochs" in report.text


def test_missing_files_are_told_before_anything_is_scored(make_table, tmp_path):
    table = make_table(dataset="cifar10")
    with pytest.raises(InputError, match=r"images: cifar10: .*cifar-10-batches-py"):
        Proxies(str(table.path), root=str(tmp_path)).run(quiet)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 1}, "n: 1 must be 2 or more"),
        ({"stages": 0}, "stages: 0 must be 1 or more"),
        ({"proxies": ("nvot",)}, "no proxy 'nvot'; did you mean 'nwot'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Proxies(**options)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"leave_out": ("test_accuracy_pct",)}, {}, "no dataset has test_accuracy_pct, which is the truth"),
        ({}, {"dataset": "digit"}, "no dataset 'digit'; did you mean 'digits'"),
    ],
)
def test_tables_without_the_truth_are_refused(make_table, table, options, message):
    with pytest.raises(InputError, match=message):
        Proxies(str(make_table(**table).path), **options).run(quiet)


def test_published_figures_stand_beside_trainings_and_networks_of_their_kind_only():
    rows = [(proxy, truth, TAU) for proxy in ("nwot", "zen") for truth in (TEST_NAME, VALID_NAME)]
    frame = pd.DataFrame(rows, columns=["proxy", "truth", "statistic"])

    def beside(dataset="cifar100", space="nas_bench_201", schedule=200, skeleton=(16, 5, 3)):
        material = SimpleNamespace(
            table=SimpleNamespace(about=SimpleNamespace(space=space)),
            part=SimpleNamespace(dataset=dataset),
            images=dataset,
            schedules={VALID_NAME: schedule},
            skeleton=Skeleton(*skeleton),
        )
        return sections._published(frame, material)

    np.testing.assert_equal(beside(), [np.nan, 0.624, np.nan, np.nan])
    for other in ({"dataset": "digits"}, {"space": "darts"}, {"schedule": 12}, {"skeleton": (8, 1, 1)}):
        assert np.isnan(beside(**other)).all()
    assert published("cifar10")["params"] == (0.738, 0.562)


# Statistics


@pytest.mark.parametrize("seed", range(3))
def test_spearman_is_scipys_with_ties_too(seed):
    x, y = np.random.default_rng(seed).integers(8, size=(2, 40))
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert np.isnan(spearman(x, np.ones(40)))


def test_the_share_of_the_best_found_leaves_ties_to_chance():
    y = np.arange(20.0)
    assert top_overlap_pct(y, y) == 100
    assert top_overlap_pct(-y, y) == 0
    assert top_overlap_pct(np.zeros(20), y) == pytest.approx(10)
    assert top_overlap_pct(np.zeros(20), np.ones(20)) == pytest.approx(10)
    one_sure = np.where(y == 19, 2.0, np.where(y >= 15, 1.0, 0.0))  # 19, and one of 15 to 18
    assert top_overlap_pct(one_sure, y) == pytest.approx(100 * (1 + 0.25) / 2)


def test_a_proxy_above_the_baselines_in_every_resample_is_said_to_be():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=50)
    noise = [truth + 5 * rng.normal(size=(2, 50)) for _ in range(2)]
    scores = {"a": noise[0], "b": noise[1], "good": np.stack([truth] * 2), "bad": np.stack([-truth] * 2)}
    frame = correlations(
        scores, {"it": truth}, baselines=["a", "b"], resamples=30, rng=np.random.default_rng(1)
    )
    found = frame[frame["statistic"] == TAU].set_index("proxy")
    assert found.loc[["good", "bad"], "above_baselines"].tolist() == [1.0, 0.0]
    assert found.loc["good", ["mean", "std", "std_repeats"]].tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert found.loc["a", "mean"] == pytest.approx(np.mean([kendall_tau(one, truth) for one in noise[0]]))
    assert found.loc["a", "std"] > 0.02
