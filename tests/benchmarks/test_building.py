"""Tables of runs: every number of a journal is found again, of what was trained and of what it stands for."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from raynas import results
from raynas.benchmarks import Table, classes
from raynas.benchmarks.building import build, seed_tau
from raynas.errors import InputError
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")
CLASS_OF, FORMS = classes(SPACE)
FIRSTS = np.unique(CLASS_OF, return_index=True)[1]
SEEDS = (0, 4)
EPOCHS = 3
COPIES = ("up", "turned_left")


def config(**changes):
    """A configuration with what a table takes from it."""
    return {
        "search_space": "nas_bench_201",
        "dataset": {"name": "digits"},
        "workload": {"name": "train_canonical_cell", "epochs": EPOCHS, "lr": 0.01},
        "searcher": {"name": "distinct", "n_proposals": None},
        "seed": 6,
    } | changes


def value(index, epoch, seed, metric):
    """A made-up accuracy or loss that belongs to its place; a loss has digits beyond the third."""
    drawn = np.random.default_rng([index, epoch, seed % 97, sum(metric.encode())]).uniform()
    return drawn * 2.3 if metric.endswith("_loss") else round(drawn * 500) / 5


def metrics_of(index, epoch, seeds):
    names = [f"{split}_{what}" for split in ("train", "valid", "test") for what in ("loss", "accuracy_pct")]
    if epoch == EPOCHS:
        names += [f"shifted_{copy}_{what}" for copy in COPIES for what in ("loss", "accuracy_pct")]
    found = {"parameters_m": index / 1e6, "flops_m": index / 1e3}
    of_seeds = {seed: {name: value(index, epoch, seed, name) for name in names} for seed in seeds or (6,)}
    for seed, values in of_seeds.items():
        values["training_s"] = 0.5 + seed / 10
        found |= {f"{name}.{seed}" if seeds else name: number for name, number in values.items()}
    if seeds:
        found |= {name: np.mean([v[name] for v in of_seeds.values()]) for name in of_seeds[seeds[0]]}
    return found


def frame(indices, *, seeds=SEEDS, failed=(), cut=()):
    """The frame of a run that trained architectures; some of which ``failed`` or were ``cut`` short."""
    records = [
        {"kind": "run", "name": "made_up", "space": "nas_bench_201", "metric": "valid_loss", "mode": "min"}
    ]
    for number, index in enumerate(map(int, indices)):
        about = {"architecture": str(SPACE.at(index)), "role": "candidate", "group": number, "reuses": None}
        records.append({"kind": "proposal", "id": number, **about})
        stays = index in failed or index in cut
        for epoch in range(1, 2 if stays else EPOCHS + 1):
            report = {"metrics": metrics_of(index, epoch, seeds), "epoch": epoch, "cost_s": 1.5}
            time = 3600.0 * number
            records.append({"kind": "report", "id": number, **report, "time": time, "done": epoch == EPOCHS})
        if index in failed:
            failure = {"failure": "diverged", "message": "train_loss is nan", "time": 0.0}
            records.append({"kind": "failure", "id": number, **failure})
    return results.frame(records)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made.parquet"


def some_firsts(n, seed=0):
    return np.random.default_rng(seed).choice(FIRSTS, n, replace=False)


# What is in it


def test_every_number_of_every_seed_and_epoch_is_in_the_table(path):
    trained = some_firsts(12)
    build(path, frame(trained), config())
    table = Table.open(path)
    part = table.part("digits")
    assert (part.seeds, part.epochs, part.schedule) == (SEEDS, (1, 2, 3), EPOCHS)
    for metric in ("train_accuracy_pct", "valid_accuracy_pct", "test_accuracy_pct"):
        curves = table.curves(metric, trained)
        expected = [[[value(i, e, s, metric) for e in part.epochs] for s in SEEDS] for i in trained]
        np.testing.assert_array_equal(curves, expected)
    np.testing.assert_array_equal(table.query("parameters_m", trained), trained / 1e6)
    np.testing.assert_array_equal(table.query("flops_m", trained), trained / 1e3)


def test_losses_are_rounded_to_a_thousandth_and_those_of_the_last_epoch_are_not(path):
    trained = some_firsts(12)
    build(path, frame(trained), config())
    table = Table.open(path)
    for metric in ("train_loss", "valid_loss", "test_loss"):
        for seed in SEEDS:
            for epoch in (1, 2, 3):
                exact = np.array([value(i, epoch, seed, metric) for i in trained])
                found = table.query(metric, trained, epoch=epoch, seed=seed)
                due = exact if epoch == EPOCHS else exact.round(3)
                np.testing.assert_array_equal(found, due.astype(np.float32).astype(float))
    assert "0.001 nats" in table.about.constants["rounding"]


def test_shifted_tests_are_known_at_the_end_each_copy_and_their_mean(path):
    trained = some_firsts(5)
    build(path, frame(trained), config())
    table = Table.open(path)
    of_copies = {
        what: [[value(i, EPOCHS, 4, f"shifted_{copy}_{what}") for copy in COPIES] for i in trained]
        for what in ("accuracy_pct", "loss")
    }
    for place, copy in enumerate(COPIES):
        found = table.query(f"shifted_{copy}_accuracy_pct", trained, seed=4)
        np.testing.assert_array_equal(found, np.array(of_copies["accuracy_pct"])[:, place])
    for what, rtol in (("accuracy_pct", 1e-15), ("loss", 1e-6)):
        found = table.query(f"shifted_{what}", trained, seed=4)
        np.testing.assert_allclose(found, np.mean(of_copies[what], axis=1), rtol=rtol)
    known = table.part().known
    assert known["shifted_accuracy_pct"] == known["shifted_up_accuracy_pct"] == (EPOCHS,)
    assert "shifted_up_loss" not in known
    assert {metric.name: metric.unit for metric in table.describe().metrics}["shifted_loss"] == "nats"


def test_the_cost_of_an_epoch_is_what_its_training_took(path):
    trained = some_firsts(3)
    build(path, frame(trained), config())
    table = Table.open(path)
    for seed in SEEDS:
        np.testing.assert_allclose(table.query("cost_s", trained, seed=seed), 0.5 + seed / 10, rtol=1e-6)
    assert "training_s" not in table.part().known


def test_a_run_of_one_seed_has_the_seed_of_its_configuration(path):
    trained = some_firsts(6)
    build(path, frame(trained, seeds=()), config())
    table = Table.open(path)
    assert table.part().seeds == (6,)
    expected = [value(i, 2, 6, "valid_accuracy_pct") for i in trained]
    np.testing.assert_array_equal(table.query("valid_accuracy_pct", trained, epoch=2), expected)


def test_what_the_trials_took_is_the_cost_where_a_workload_says_no_other(path):
    trained = some_firsts(2)
    made = frame(trained, seeds=()).drop(columns="training_s")
    build(path, made, config())
    np.testing.assert_array_equal(Table.open(path).query("cost_s", trained), 1.5)


def test_a_frame_read_from_its_file_makes_the_same_table(path, tmp_path):
    made = frame(some_firsts(4))
    build(path, made, config())
    (tmp_path / "results.parquet").write_bytes(results.parquet(made))
    build(tmp_path / "again.parquet", pd.read_parquet(tmp_path / "results.parquet"), config())
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


# For whom it speaks


def test_all_members_of_a_form_are_answered_by_what_was_trained_of_it(path):
    trained = some_firsts(40)
    built = build(path, frame(trained), config())
    table = Table.open(path)
    members = np.flatnonzero(np.isin(CLASS_OF, CLASS_OF[trained]))
    assert table.architectures().tolist() == members.tolist()
    assert len(members) > len(trained)
    own = table.query("valid_accuracy_pct", FIRSTS[CLASS_OF[members]], seed=4)
    np.testing.assert_array_equal(table.query("valid_accuracy_pct", members, seed=4), own)
    np.testing.assert_array_equal(
        own, [value(int(FIRSTS[CLASS_OF[m]]), 3, 4, "valid_accuracy_pct") for m in members]
    )
    assert (built.n_trained, built.n_wanted, built.is_whole) == (40, 5_044, False)
    assert table.describe().n_trained == 40


def test_the_member_that_was_trained_need_not_be_the_first(path):
    number = int(np.argmax(np.bincount(CLASS_OF) > 3))
    members = np.flatnonzero(np.equal(CLASS_OF, number))
    build(path, frame([members[2], members[1]]), config(searcher={"name": "random_search"}))
    found = Table.open(path).query("valid_accuracy_pct", members, seed=0)
    # both trainings are the same; the first that was proposed is kept
    np.testing.assert_array_equal(found, value(int(members[2]), EPOCHS, 0, "valid_accuracy_pct"))


def test_a_table_of_the_whole_space_answers_for_every_architecture(path):
    one = frame(FIRSTS[:1])
    everything = one.loc[one.index.repeat(len(FIRSTS))].sort_values("epoch", kind="stable")
    everything["proposal"] = np.tile(np.arange(len(FIRSTS)), EPOCHS)
    everything["index"] = np.tile(FIRSTS, EPOCHS)
    built = build(path, everything.reset_index(drop=True), config())
    assert built.is_whole
    assert str(built) == "5,044 of 5,044 canonical forms"
    table = Table.open(path)
    assert table.query("valid_accuracy_pct").shape == (SPACE.size,)
    assert (table.describe().n_architectures, table.describe().n_trained) == (15_625, 5_044)


def test_elsewhere_an_architecture_stands_for_itself_alone(path):
    trained = some_firsts(5)
    workload = {"name": "train_architecture", "epochs": EPOCHS}
    built = build(
        path, frame(trained, seeds=()), config(searcher={"name": "random_search"}, workload=workload)
    )
    assert Table.open(path).architectures().tolist() == sorted(trained.tolist())
    assert (built.n_trained, built.n_wanted) == (5, 15_625)


# A part of a run


def test_what_failed_or_still_runs_is_left_out_and_counted(path):
    trained = some_firsts(10)
    made = frame(trained, failed=trained[2:5].tolist(), cut=trained[7:8].tolist())
    built = build(path, made, config())
    assert (built.n_trained, built.n_failed, built.n_unfinished) == (6, 3, 1)
    assert str(built) == "6 of 5,044 canonical forms; 3 failed and 1 unfinished are left out"
    table = Table.open(path)
    assert str(built) in table.about.source
    for index in trained[[2, 7]]:
        with pytest.raises(InputError, match="there is no run of architecture"):
            table.query("valid_accuracy_pct", int(index))
    assert np.isfinite(table.curves("valid_accuracy_pct")).all()


def test_a_failed_training_before_its_first_report_is_counted(path):
    records_of = frame(some_firsts(3))
    extra = records_of.iloc[:1].assign(proposal=99, status="failed", epoch=0, valid_loss=math.nan)
    built = build(path, pd.concat([records_of, extra], ignore_index=True), config())
    assert (built.n_trained, built.n_failed) == (3, 1)
    assert Table.open(path).part().epochs == (1, 2, 3)


def test_a_run_without_a_finished_training_makes_no_table(path):
    trained = some_firsts(2)
    with pytest.raises(InputError, match="no finished training yet"):
        build(path, frame(trained, cut=trained.tolist()), config())
    assert not path.exists()


def test_a_run_without_a_dataset_makes_no_table(path):
    with pytest.raises(InputError, match="the run has no dataset"):
        build(path, frame(some_firsts(2)), config(dataset=None))


# What is said of it


def test_the_metadata_hold_settings_cost_versions_and_how_far_seeds_agree(path):
    build(path, frame(some_firsts(9)), config(), constants={"splits": {"train": 600}})
    about = Table.open(path).about
    constants = about.constants
    assert constants["workload"]["lr"] == 0.01
    assert constants["splits"] == {"train": 600}
    assert constants["cost"]["first_to_last_report_h"] == 8
    assert constants["cost"]["all_trials_h"] == pytest.approx(9 * 3 * 1.5 / 3600, abs=1e-3)
    assert constants["cost"]["training_and_validation_cpu_h"] == pytest.approx(27 * 1.4 / 3600, abs=1e-3)
    assert {"torch", "numpy", "scikit-learn", "python"} <= set(constants["made_on"]["versions"])
    assert set(constants["seed_agreement"]) == {"valid_accuracy_pct", "valid_loss", "test_accuracy_pct"}
    assert "run 'made_up'" in about.source
    assert "9 of 5,044 canonical forms" in about.source


def test_seeds_that_rank_alike_agree_wholly_and_the_reverse_not_at_all():
    ranks = np.arange(20.0)
    assert seed_tau(np.stack([ranks, ranks**2, ranks**3], axis=1)) == pytest.approx(1)
    assert seed_tau(np.stack([ranks, -ranks], axis=1)) == pytest.approx(-1)
    # of three seeds of which one is the reverse of the two others: (1 - 1 - 1) / 3
    assert seed_tau(np.stack([ranks, ranks, -ranks], axis=1)) == pytest.approx(-1 / 3)


def test_the_best_part_is_the_best_by_the_mean_over_the_seeds():
    ranks = np.arange(20.0)
    other = np.where(ranks >= 15, 34 - ranks, ranks)  # the upper five are the other way round
    values = np.stack([ranks, other], axis=1)
    assert seed_tau(values, best=0.25) == pytest.approx(-1)
    assert seed_tau(-values, best=0.25, lower_is_better=True) == pytest.approx(-1)
    assert seed_tau(values, best=0.25, lower_is_better=True) == pytest.approx(1)


def test_seeds_of_which_nothing_can_be_told_agree_in_no_number():
    assert math.isnan(seed_tau(np.zeros((5, 1))))
    assert math.isnan(seed_tau(np.array([[1.0, 2.0], [np.nan, 1.0]])))
