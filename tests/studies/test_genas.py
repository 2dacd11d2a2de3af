"""The study of GeNAS against its metrics and plain loops, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from argparse import ArgumentParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from raynas.cli import main
from raynas.cli.verb.study import add_arguments
from raynas.data.dataset.digits import Digits
from raynas.data.device import resident
from raynas.errors import InputError
from raynas.flatness.metric.accuracy import Accuracy
from raynas.flatness.metric.angle import Angle
from raynas.flatness.metric.combined import Combined
from raynas.flatness.metric.flatness import Flatness
from raynas.oneshot.settings import Recalibration, Scoring
from raynas.oneshot.subnet import Scorer
from raynas.oneshot.trained import load
from raynas.seeding import derive
from raynas.spaces import get_space
from raynas.studies import _genas_measuring as measuring
from raynas.studies import _genas_paper as paper
from raynas.studies import _genas_scores as arithmetic
from raynas.studies._genas_landscape import groups
from raynas.studies._genas_probes import SIGMA, SIGMAS, written
from raynas.studies._pieces import Pieces
from raynas.studies.genas import Genas
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.trial import Trial
from raynas.workloads.train_supernet import TrainSupernet

TRAINING = TrainSupernet(skeleton=NasBench201(4, 1, 1), epochs=1, max_batches=12, batch_size=32, lr=0.1)
SMALL = {"architectures": 14, "variants": 6, "hessian": 2, "group": 2, "n_valid": 40}


def quiet(what):
    pass


def write_supernet(out, space, seed, settings=TRAINING):
    run = settings.start(Trial(space=space.name, architecture=None, seed=seed, dataset=Digits()))
    while not run.done:
        run.step()
    out.mkdir(parents=True)
    for name, content in run.artifacts().items():
        (out / name).write_bytes(content)


@pytest.fixture(scope="module")
def supernets(tmp_path_factory, small_space):
    """One by itself, one in a run's directory."""
    place = tmp_path_factory.mktemp("supernets")
    write_supernet(place / "alone", small_space, 0)
    write_supernet(place / "run" / "artifacts" / "0", small_space, 1)
    return (str(place / "alone"), str(place / "run"))


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


@pytest.fixture(scope="module")
def study(supernets, table):
    report = Genas(supernets, str(table.path), **SMALL).run(quiet)
    frames = {section.name: section.frame for section in report.sections}
    return SimpleNamespace(report=report, options=SMALL, **frames)


def test_what_is_measured_is_there_when_it_is_measured_again(supernets, table, study, tmp_path, monkeypatch):
    pieces, count = Pieces(tmp_path / "kept"), []
    whole = measuring._measured
    monkeypatch.setattr(measuring, "_measured", lambda task: count.append(task) or whole(task))
    options = {**SMALL, "hessian": 0, "group": 0}
    one, again = (Genas(supernets, str(table.path), **options).run(quiet, pieces) for _ in range(2))
    assert len(count) == len(supernets)
    assert frame_of(one, "losses").equals(frame_of(again, "losses"))
    Genas(supernets, str(table.path), **{**options, "n_valid": 30}).run(quiet, pieces)
    assert len(count) == 2 * len(supernets), "other images are measured anew"


def frame_of(report, name):
    return next(section.frame for section in report.sections if section.name == name)


def scorer(place, recalibration="average"):
    trained = load(place)
    seed = derive(0, "study", "genas", trained.about.fingerprint)
    scoring = Scoring(Recalibration(mode=recalibration), n_valid=SMALL["n_valid"])
    return Scorer(trained, resident(Digits(), "cpu"), scoring, seed=seed), seed


def measured(place, texts, metric, recalibration="average"):
    one, seed = scorer(place, recalibration)
    space = get_space(one.about.space)
    return [metric.measure(one.subnet(space.parse(text)), seed) for text in texts]


# What is measured


@pytest.mark.parametrize(
    ("column", "metric"),
    [
        ("flatness", Flatness()),
        ("angle", Angle()),
        ("accuracy", Accuracy()),
        ("angle + flatness, gamma 16", Combined()),
        ("accuracy + flatness, gamma 32", Combined(Accuracy(), gamma=32)),
        ("angle + accuracy, gamma 0.1", Combined(other=Accuracy(), gamma=0.1)),
    ],
)
def test_scores_are_the_shares_that_the_metrics_measure(study, supernets, column, metric):
    for number, place in enumerate((supernets[0], f"{supernets[1]}/artifacts/0"), 1):
        some = study.subnets[study.subnets["supernet"] == number].iloc[::5]
        expected = [one.share for one in measured(place, some["architecture"], metric)]
        assert some[column].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("probe", "metric", "recalibration"),
    [
        ("levels", Flatness(sigma=SIGMAS[3]), "average"),
        ("direct 0.002, 0.01, 0.02", Flatness(mode="direct"), "average"),
        ("cumulative 0.002, 0.02, 0.04", Flatness(sigma=SIGMAS[3], mode="cumulative"), "average"),
        ("fresh", Flatness(common=False), "average"),
        ("cells", Flatness(position="cells"), "average"),
        ("hessian", Flatness(sigma=SIGMAS[1], direction="hessian"), "average"),
        ("ema", Flatness(), "ema"),
    ],
)
def test_losses_are_those_of_the_kind_of_noise_that_they_stand_for(
    study, supernets, probe, metric, recalibration
):
    every = study.losses[(study.losses["probe"] == probe) & (study.losses["supernet"] == 1)]
    losses = every.pivot_table("loss", "architecture", "sigma")[list(metric.sigma)].iloc[:2]
    for text, row in losses.iterrows():
        (one,) = measured(supernets[0], [text], metric, recalibration)
        expected = [one.metrics[name] for name in metric.reports[1:]]
        assert row.tolist() == pytest.approx(expected, rel=1e-4)


def test_architectures_are_different_ones_of_the_table_and_their_truth_is_its_mean_over_seeds(study, table):
    first = study.subnets[study.subnets["supernet"] == 1]
    indices = first["index"].to_numpy()
    assert len(set(indices)) == 14
    assert first["architecture"].tolist() == [str(table.space.at(index)) for index in indices.tolist()]
    np.testing.assert_allclose(
        first["test_accuracy_pct"], table.query("test_accuracy_pct", indices), atol=1e-8
    )


def test_the_number_of_parameters_is_of_what_the_output_hangs_on(study, supernets):
    first = study.subnets[study.subnets["supernet"] == 1].iloc[:4]
    one, _ = scorer(supernets[0])
    for text, n in zip(first["architecture"], first["parameters"], strict=True):
        weights = one.subnet(get_space(one.about.space).parse(text)).weights
        assert n == sum(weight.numel() for weight in weights.values())


# What is made of it


def test_taus_of_scores_are_scipys_over_all_architectures(study):
    for row in study.scores[study.scores["supernet"] > 0].itertuples():
        part = study.subnets[study.subnets["supernet"] == row.supernet]
        expected = stats.kendalltau(part[row.score], part["test_accuracy_pct"]).statistic
        assert row.tau == pytest.approx(expected)
        assert (row.n, row.dropped) == (14, 0)
        loss = part[arithmetic.LOW_LOSS]
        of_loss = stats.kendalltau(loss, part["test_accuracy_pct"]).statistic
        assert row.minus_loss == pytest.approx(expected - of_loss)
    sizes, of_table = study.scores[study.scores["supernet"] == 0].itertuples()
    assert (sizes.score, of_table.score[:19]) == ("parameters", "validation accuracy")
    assert sizes.tau == pytest.approx(
        stats.kendalltau(part["parameters"], part["test_accuracy_pct"]).statistic
    )
    for row in study.report.sections[0].tables[1][1].itertuples():
        taus = [
            stats.kendalltau(part[row.one], part[row.other]).statistic
            for _, part in study.subnets.groupby("supernet")
        ]
        assert row.tau == f"{np.mean(taus):.3f} ± {np.std(taus):.3f}"


def flatness_of(losses, sigma, alpha):
    """Equation 4, by hand."""
    slopes = sum(
        abs(b - a) / (t - s) for a, b, s, t in zip(losses, losses[1:], sigma, sigma[1:], strict=False)
    )
    return 1 / (slopes + alpha * losses[0] / sigma[0] + 1e-5)


@pytest.mark.parametrize(
    ("section", "row", "mode", "probe", "sigma", "alpha"),
    [
        *(("sigma", written(sigma), "shared", "levels", sigma, 1.0) for sigma in SIGMAS),
        ("sigma", "0.002, 0.02, 0.04", "direct", "direct 0.002, 0.02, 0.04", SIGMAS[3], 1.0),
        ("sigma", "0.0005, 0.001, 0.002", "hessian", "hessian", SIGMAS[1], 1.0),
        *(("alpha", f"{alpha:g}", "shared", "levels", SIGMA, alpha) for alpha in paper.ALPHA_TAUS),
        ("noise", "all weights, random direction", "shared", "levels", SIGMA, 1.0),
        ("noise", "cells' weights, random direction", "shared", "cells", SIGMA, 1.0),
        ("noise", "all weights; statistics by running mean", "shared", "ema", SIGMA, 1.0),
    ],
)
def test_taus_of_settings_are_of_flatness_by_hand(study, section, row, mode, probe, sigma, alpha):
    found = study.settings.query("table == @section and row == @row and mode == @mode")
    assert set(found["supernet"]) == {1, 2}
    for one in found.itertuples():
        part = study.losses[(study.losses["probe"] == probe) & (study.losses["supernet"] == one.supernet)]
        drawn = part.drop_duplicates("index")["index"].iloc[: one.asked]
        wide = part.pivot_table("loss", "index", "sigma").loc[drawn, list(sigma)]
        truth = part.drop_duplicates("index").set_index("index").loc[drawn, "test_accuracy_pct"]
        score = [flatness_of(losses, sigma, alpha) for losses in wide.to_numpy().tolist()]
        assert one.tau == pytest.approx(stats.kendalltau(score, truth).statistic)
    asked = set(found["asked"])
    of_mode = {"shared": {14, 6, 2}, "direct": {6}, "hessian": {2}}
    assert (
        asked
        == {"alpha": {14}, "sigma": of_mode[mode], "noise": {6, 2} if probe == "levels" else {6}}[section]
    )


def test_the_hessian_stands_beside_a_random_direction_on_the_same_architectures(study):
    few = study.settings[(study.settings["table"] == "noise") & (study.settings["asked"] == 2)]
    rows = few[few["supernet"] == 1]["row"].tolist()
    assert rows == ["all weights, random direction", "all weights, Hessian's direction"]


def test_the_text_on_settings_names_the_numbers_of_architectures_that_were_measured(study):
    text = next(section.text for section in study.report.sections if section.name == "settings")
    named = [int(n) for n in re.findall(r"\d\.\d\d where n is (\d+)", text)]
    assert named == sorted(set(study.settings["asked"]), reverse=True)


def test_sums_weigh_the_second_score_by_gamma(study):
    for row in study.combinations.itertuples():
        part = study.subnets[study.subnets["supernet"] == row.supernet]
        base, other = (part[name] for name in row.combination.split(" + "))
        total = base + row.gamma * other
        assert row.tau == pytest.approx(stats.kendalltau(total, part["test_accuracy_pct"]).statistic)
        assert row.share_pct == pytest.approx(np.mean(100 * row.gamma * other / total))
    of_zero = study.combinations[study.combinations["gamma"] == 0]
    assert of_zero["share_pct"].tolist() == [0.0] * 6


def test_losses_over_the_noise_are_of_the_best_the_middle_and_the_worst(study):
    frame = study.landscape
    groups = frame.groupby("group")["test_accuracy_pct"]
    assert groups.max()["bottom"] <= groups.min()["middle"] <= groups.max()["middle"] <= groups.min()["top"]
    assert frame.groupby("group")["index"].nunique().tolist() == [2, 2, 2]
    both = frame[frame["supernet"] == 1].merge(
        study.losses[(study.losses["probe"] == "levels") & (study.losses["supernet"] == 1)],
        on=["index", "sigma"],
    )
    assert set(both["sigma"]) == {1e-3, 2e-3, 1e-2, 2e-2, 4e-2}
    np.testing.assert_allclose(both["loss_x"], both["loss_y"], rtol=1e-4)
    clean = frame[frame["sigma"] == 0].set_index(["supernet", "index"])["loss"]
    assert (frame["loss"] - frame["rise"]).tolist() == pytest.approx(
        [clean[key] for key in zip(frame["supernet"], frame["index"], strict=True)]
    )


def test_groups_have_only_architectures_through_which_a_path_leads():
    material = SimpleNamespace(lives=np.arange(10) != 3, truth=np.array([5.0, 9, 1, 0, 7, 3, 2, 8, 6, 4]))
    found = {name: places.tolist() for name, places in groups(material, 2).items()}
    assert found == {"top": [1, 7], "middle": [8, 0], "bottom": [6, 2]}
    assert {name: len(places) for name, places in groups(material, 5).items()} == dict.fromkeys(found, 3)
    assert groups(material, 0) == {}


def test_neither_the_order_of_supernets_nor_the_size_of_pieces_matters(study, supernets, table, monkeypatch):
    monkeypatch.setattr(measuring, "_AT_ONCE", 4)
    again = Genas(supernets[::-1], str(table.path), **{**SMALL, "hessian": 0, "group": 0}).run(quiet)
    frames = {section.name: section.frame for section in again.sections}
    assert "landscape" not in frames
    turned = frames["subnets"].assign(supernet=3 - frames["subnets"]["supernet"])
    turned = turned.sort_values("supernet", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(turned, study.subnets, rtol=1e-6)


def test_another_seed_draws_other_architectures(study, supernets, table):
    options = {**SMALL, "variants": 0, "hessian": 0, "group": 0, "measures": ()}
    other = Genas(supernets[:1], str(table.path), seed=1, **options).run(quiet)
    frames = {section.name: section.frame for section in other.sections}
    assert set(frames["subnets"]["index"]) != set(study.subnets["index"])
    # beside flatness nothing was asked for
    assert "combinations" not in frames
    assert not {"angle", "accuracy"} & set(frames["subnets"])
    assert set(frames["losses"]["probe"]) == {"loss", "levels"}


# Arithmetic


def test_scores_that_are_no_number_are_dropped_and_counted():
    truth = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    found = arithmetic.ranked(np.array([0.1, np.nan, 0.3, 0.2]), truth)
    assert (found["n"], found["dropped"]) == (3, 1)
    assert found["tau"] == pytest.approx(1 / 3)
    assert found["top_test_accuracy_pct"] == pytest.approx(8 / 3)
    assert math.isnan(arithmetic.ranked(np.array([np.nan, 1.0]), truth)["tau"])


def test_equal_scores_share_the_last_places_among_the_best():
    score = np.array([3.0] * 9 + [2.0] * 4 + [1.0])
    truth = np.array([50.0] * 9 + [10.0, 20.0, 30.0, 40.0] + [99.0])
    assert arithmetic.ranked(score, truth)["top_test_accuracy_pct"] == pytest.approx((9 * 50 + 25) / 10)


def test_a_sum_of_nothing_has_no_share():
    total, share_pct = arithmetic.combined(np.zeros(2), np.array([0.0, 1.0]), 3.0)
    assert (total.tolist(), share_pct) == ([0.0, 3.0], 50.0)


# The command, and what it refuses


def test_the_command_writes_tables_and_figures(supernets, table, tmp_path, capsys):
    out = tmp_path / "report"
    options = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    given = ["--supernet", *supernets, "--table", str(table.path), "--out", str(out)]
    assert main(["study", "genas", *given, *options]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"REPORT.md", "scores.png", "landscape.png", "subnets.png", "losses.parquet"} <= names
    assert "| 0.002, 0.02, 0.04 |" in (out / "settings.md").read_text()
    assert "| 0.5416 | 0.2364 |" in (out / "settings.md").read_text()
    assert "| angle | flatness |" in (out / "scores.md").read_text()
    assert "14 architectures in each of 2 supernets" in capsys.readouterr().out


def test_an_option_that_is_given_twice_has_the_values_of_both():
    parser = ArgumentParser()
    add_arguments(parser)
    given = ["--supernet", "one", "two", "--measures", "angle", "--supernet", "three"]
    asked = parser.parse_args(["genas", *given])
    assert (asked.supernet, asked.measures) == (("one", "two", "three"), ("angle",))


def test_the_working_directory_may_be_the_reports(tmp_path, monkeypatch, capsys):
    (tmp_path / "report").mkdir()
    monkeypatch.chdir(tmp_path / "report")
    assert main(["study", "genas", "--supernet", "nowhere", "--out", "."]) == 2
    assert "nowhere: no trained supernet there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"supernet": ()}, "supernet: is missing; .*raynas run spos_supernet_digits"),
        ({"architectures": 1}, "architectures: 1 must be 2 or more"),
        ({"n_valid": 0}, "n_valid: 0 must be 1 or more"),
        ({"measures": ("angel",)}, "nothing called 'angel'; did you mean 'angle'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Genas(**{"supernet": ("somewhere",), **options})


def refused(paths, table, message, **options):
    with pytest.raises(InputError, match=message):
        Genas(tuple(map(str, paths)), str(table.path), **{**SMALL, **options}).run(quiet)


def test_a_place_without_a_supernet_is_refused(tmp_path, table):
    refused([tmp_path], table, "no trained supernet there")


def test_a_supernet_that_is_named_twice_is_refused(supernets, tmp_path, table):
    shutil.copytree(supernets[0], tmp_path / "copy")
    refused([supernets[0], tmp_path / "copy"], table, "copy: has the weights of .*name each supernet once")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton": NasBench201(2, 1, 1)}, "skeleton is .*'channels': 2.*'channels': 4.* of their own"),
        ({"max_batches": 2, "epochs": 2}, "epochs is 2, and 1 in"),
        ({"share_across_cells": True}, "share_across_cells is True, and False in"),
    ],
)
def test_supernets_that_differ_in_more_than_their_seed_are_refused(
    supernets, small_space, tmp_path, table, changes, message
):
    settings = dataclasses.replace(TRAINING, **changes)
    write_supernet(tmp_path / "other", small_space, 3, settings)
    refused([supernets[0], tmp_path / "other"], table, message)


def test_a_table_of_another_space_is_refused(supernets, table):
    with pytest.raises(
        InputError, match=r"a supernet of search space .*three_nodes\.yaml, not nas_bench_201"
    ):
        Genas(supernets, "digits", **SMALL).run(quiet)


def test_images_of_another_size_are_refused(supernets, table):
    refused(supernets, table, "no images of 'digit'; did you mean 'digits'", images="digit")
    refused(supernets, table, "digits cannot be made of root", root="somewhere")


def test_an_angle_without_initial_weights_is_refused_and_the_rest_goes_on(supernets, tmp_path, table):
    import hashlib
    import io

    place = tmp_path / "trained"
    shutil.copytree(supernets[0], place)
    parts = torch.load(place / "weights.pt", weights_only=True)
    content = io.BytesIO()
    torch.save({**parts, "initial": {}}, content)
    (place / "weights.pt").write_bytes(content.getvalue())
    about = json.loads((place / "about.json").read_text())
    about["fingerprint"] = hashlib.sha256(content.getvalue()).hexdigest()
    (place / "about.json").write_text(json.dumps(about))
    refused([place], table, "before training were not kept.*give accuracy alone as measures")
    options = {**SMALL, "variants": 0, "hessian": 0, "group": 0, "measures": ("accuracy",)}
    report = Genas((str(place),), str(table.path), **options).run(quiet)
    assert set(report.sections[0].frame["score"]) >= {"accuracy", "flatness"}


def test_the_papers_tables_agree_where_they_print_the_same():
    assert paper.SIGMA_TAUS[SIGMA][0] == paper.ALPHA_TAUS[1.0] == paper.NOISE_TAUS["all"] == 0.6047
    assert paper.ANGLE_FLATNESS[0.0] == paper.ANGLE_ACCURACY[0.0]
    best = {
        one.name: max(one.published, key=lambda gamma: one.published[gamma][1])
        for one in arithmetic.COMBINATIONS
    }
    assert best == {one.name: one.gamma for one in arithmetic.COMBINATIONS}
