"""The study of differentiable searches: scaling, what it records, what it compares, and what it refuses."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from raynas.cli import main
from raynas.differentiable.decision.greedy import Greedy
from raynas.differentiable.decision.perturbation import Perturbation
from raynas.differentiable.decision.stages import Stages
from raynas.differentiable.method import Method
from raynas.differentiable.stopping.best_validation_loss import BestValidationLoss
from raynas.differentiable.stopping.hessian_eigenvalue import HessianEigenvalue
from raynas.errors import InputError
from raynas.studies import _differentiable_searches as searches
from raynas.studies._differentiable_presets import read, scaled, shipped
from raynas.studies._differentiable_searches import Search, Task, end, search, search_all
from raynas.studies._differentiable_table import read as read_table
from raynas.studies.differentiable import Differentiable
from raynas.trial import Diverged
from raynas.workloads._searching import Searching

TINY = {
    "methods": ("a2m_nb201", "darts_pt_nb201", "darts_nb201"),
    "seeds": 2,
    "epochs": 2,
    "batch_size": 8,
    "channels": 4,
    "max_batches": 1,
    "random_cells": 50,
}
AS_OPTIONS = [
    part
    for name, value in TINY.items()
    for part in (f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value]))
]


def quiet(what):
    pass


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


@pytest.fixture(scope="module")
def written(table, tmp_path_factory):
    """A report by the command line, and its frames."""
    out = tmp_path_factory.mktemp("reports") / "differentiable"
    assert main(["study", "differentiable", "--table", str(table.path), "--out", str(out), *AS_OPTIONS]) == 0
    frames = {path.stem: pd.read_parquet(path) for path in out.glob("*.parquet")}
    return SimpleNamespace(out=out, text=(out / "REPORT.md").read_text(), **frames)


@pytest.fixture(scope="module")
def presets(table):
    return read(Differentiable(**TINY), table.about.space)


def test_what_is_counted_in_epochs_is_scaled_with_them():
    method = Method(
        epochs=50,
        warmup_epochs=15,
        decision=(Perturbation(tune_epochs=5), Greedy(warmup=9, interval=5, history=4)),
        stopping=BestValidationLoss(patience=10),
    )
    made = scaled(method, 20)
    assert (made.epochs, made.warmup_epochs, made.stopping.patience) == (20, 6, 4)
    perturbation, greedy = made.decision
    assert perturbation.tune_epochs == 2
    assert (greedy.warmup, greedy.interval, greedy.history) == (4, 2, 2)
    assert greedy.batch_size_step == method.decision[1].batch_size_step


def test_stages_are_scaled_and_go_on_rising():
    method = Method(epochs=100, decision=(Stages(epochs=(25, 50), keep=(4, 3), k=(4, 2), warmup=10),))
    assert scaled(method, 20).decision[0].epochs == (5, 10)
    assert scaled(method, 20).decision[0].warmup == 2
    assert scaled(method, 2).decision[0].epochs == (1, 2)


def test_what_was_at_least_one_epoch_stays_so_and_nothing_stays_nothing():
    method = Method(epochs=50, warmup_epochs=1, stopping=HessianEigenvalue(start=0))
    assert scaled(method, 2).warmup_epochs == 1
    assert scaled(method, 2).stopping == method.stopping
    assert scaled(Method(epochs=50), 2).warmup_epochs == 0


def test_as_many_epochs_as_before_change_nothing():
    method = Method(epochs=50, warmup_epochs=15, decision=(Greedy(), Stages()), stopping=BestValidationLoss())
    assert scaled(method, 50) == method


def test_the_presets_are_those_on_nas_bench_201_that_sweep_seeds_alone():
    found = shipped()
    assert {"darts_nb201", "a2m_nb201", "gdas_nb201", "drnas_progressive_nb201"} <= set(found)
    assert not {"darts", "darts_digits", "a2m_rho_sweep_digits", "na_rs_nb201"} & set(found)


def test_plain_darts_comes_first_and_a2m_after_its_partner(presets):
    assert [(one.name, one.plain, one.partner) for one in presets] == [
        ("darts_nb201", True, None),
        ("a2m_nb201", False, "darts_nb201"),
        ("darts_pt_nb201", False, None),
    ]


def test_plain_darts_is_there_unasked(table):
    options = Differentiable(**{**TINY, "methods": ("lambda_darts_nb201",)})
    plain, other = read(options, table.about.space)
    assert plain.plain
    assert other.name == "lambda_darts_nb201"
    # 1e-4 where the default is 3e-4
    assert (plain.experiment.method.alpha.lr, other.experiment.method.alpha.lr) == (3e-3, 1e-3)


def test_the_report_says_what_was_changed_in_each_preset(written):
    of = written.settings.set_index(["preset", "setting"])
    assert of.loc[("darts_nb201", "epochs"), ["configuration", "here"]].tolist() == ["50", "2"]
    assert of.loc[("darts_pt_nb201", "decision.0.tune_epochs"), "here"] == "1"
    assert of.loc[("a2m_nb201", "stopping.patience"), "here"] == "1"


def test_a_rule_asked_afterwards_answers_as_it_would_have(presets):
    """The loss falls until the third epoch; with a patience of 2 the search ends after the sixth."""
    losses = [3.0, 2.0, 1.0, 1.5, 1.5, 1.5, 0.5, 0.4]
    assert end(BestValidationLoss(patience=2), losses, epochs=8) == (2, 6)
    assert end(BestValidationLoss(patience=9), losses, epochs=8) == (7, 8)
    assert end(BestValidationLoss(patience=9), losses, epochs=6) == (None, 8)  # two epochs of tuning


@pytest.mark.parametrize("name", ["darts_nb201", "darts_pt_nb201"])
def test_a_search_answers_with_what_the_workload_itself_answers(presets, name):
    experiment = next(one.experiment for one in presets if one.name == name)
    found = search(Task(name, experiment))
    own = experiment.workload.start(experiment.trial(searches.Proposal(0, None)))
    while not own.done:
        answer = own.step()
    assert found.trail[found.answer] == answer.architecture
    assert found.ended == answer.epoch
    assert found.reports[answer.epoch - 1]["train_loss"] == answer.metrics["train_loss"]


def test_a_divergence_is_recorded_and_shown_and_ends_nothing(table, monkeypatch):
    step = Searching.step

    def breaking(self):
        if self._epoch == 1 and self._method.decision:
            raise Diverged("valid_loss is nan in epoch 2", 2)
        return step(self)

    monkeypatch.setattr(Searching, "step", breaking)
    made = Differentiable(str(table.path), **{**TINY, "seeds": 1}).run(quiet)
    frames = {section.name: section.frame for section in made.sections}
    broken = frames["searches"].set_index("preset").loc["darts_pt_nb201"]
    assert broken["failure"] == "valid_loss is nan in epoch 2"
    assert math.isnan(broken["derived_test_accuracy_pct"])
    assert "darts_pt_nb201, seed 0 (valid_loss is nan in epoch 2)" in made.text
    of_presets = frames["accuracies"].set_index("row")
    assert of_presets.loc["darts_pt_nb201", ["n", "n_failed"]].tolist() == [0, 1]
    assert of_presets.loc["darts_nb201", "n"] == 1
    assert (frames["trajectories"]["preset"] == "darts_pt_nb201").sum() == 2  # before and after the first


def test_worker_processes_find_the_same(presets):
    plain = [one for one in presets if one.plain]
    told = []
    alone = search_all(plain, [0, 1], processes=1, progress=told.append)
    together = search_all(plain, [0, 1], processes=2, progress=told.append)
    timeless = [
        [
            Search(
                one.preset,
                one.seed,
                one.trail,
                tuple({"loss": report["valid_loss"]} for report in one.reports),
                one.answer,
                one.ended,
            )
            for one in found
        ]
        for found in (alone, together)
    ]
    assert timeless[0] == timeless[1]
    assert len(told) == 4
    assert all("minutes left" in what for what in told)


def test_every_epoch_has_its_cell_and_what_the_table_says_of_it(written, table):
    frame = written.trajectories
    per_search = frame.groupby(["preset", "seed"])["epoch"].apply(list).to_dict()
    assert len(per_search) == 6
    assert per_search["darts_nb201", 0] == [0, 1, 2]
    assert per_search["darts_pt_nb201", 1] == [0, 1, 2, 3, 4, 5]  # three edges to decide
    indices = frame["index"].to_numpy()
    assert [str(table.space.at(index)) for index in indices] == frame["architecture"].tolist()
    truth = table.query("test_accuracy_pct", indices)
    assert frame["derived_test_accuracy_pct"].to_numpy() == pytest.approx(truth)
    skips = (table.space.ops_table()[indices] == 1).sum(axis=1)  # skip_connect is the second operation
    assert frame["skips"].tolist() == skips.tolist()
    assert frame.loc[frame["epoch"] > 0, ["skip_share", "theta_entropy", "seconds"]].notna().all(axis=None)


def test_differences_are_between_searches_of_the_same_seed(written):
    by_preset = {name: part.set_index("seed") for name, part in written.searches.groupby("preset")}
    plain = by_preset["darts_nb201"]["derived_test_accuracy_pct"]
    for part in by_preset.values():
        expected = (part["derived_test_accuracy_pct"] - plain).tolist()
        assert part["minus_plain"].tolist() == pytest.approx(expected)
    with_a2m = by_preset.pop("a2m_nb201")
    assert with_a2m["minus_partner"].tolist() == pytest.approx(with_a2m["minus_plain"].tolist())
    assert all(part["minus_partner"].isna().all() for part in by_preset.values())


def test_the_summary_is_of_the_searches_with_random_cells_and_the_best_as_rows(written, table):
    summary, value = written.accuracies.set_index("row"), "derived_test_accuracy_pct"
    for name, part in written.searches.groupby("preset"):
        assert summary.loc[name, value] == pytest.approx(part[value].mean())
        assert summary.loc[name, f"{value}_std"] == pytest.approx(part[value].std(ddof=0))
        assert summary.loc[name, "beats"] == pytest.approx(part["beats"].mean())
    assert summary.loc["best of the table", value] == table.query("test_accuracy_pct").max()
    assert summary.loc["random cells, 5 % quantile", value] <= summary.loc["random cells", value]
    assert (summary.loc["a2m_nb201", "paper_cifar10_test_pct"]) == 92.39


def test_beating_is_having_more_than_a_random_cell(table):
    truth = read_table(table, Differentiable(**TINY))
    assert truth.beaten(truth.random.min()) == 0
    assert truth.beaten(truth.random.max() + 1) == 1
    middle = float(np.sort(truth.random)[25])
    assert truth.beaten(middle) == np.mean(truth.random < middle)


def test_the_report_has_its_figure_and_names_the_papers_other_scale(written):
    assert (written.out / "trajectories.png").stat().st_size > 10_000
    page = (written.out / "accuracies.md").read_text()
    assert "paper, CIFAR-10 test (%)" in page
    assert "another dataset and another scale" in page
    assert "Plain DARTS: " in written.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds: 0 must be 1 or more"),
        ({"batch_size": 1}, "batch_size: 1 must be 2 or more"),
        ({"max_batches": 0}, "max_batches: 0 must be 1 or more"),
        ({"alpha_lr": 0.0}, "alpha_lr: 0.0 must be positive"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Differentiable(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("darts_nb20",)}, "did you mean 'darts_nb201'"),
        ({"methods": ("darts",)}, "no differentiable search on nas_bench_201"),
        ({"methods": ("random_search_digits",)}, "no differentiable search on nas_bench_201"),
        ({"dataset": "cifar"}, "no dataset 'cifar'"),
        ({"methods": ("pc_darts_nb201",), "channels": 6}, "6"),
    ],
)
def test_what_cannot_be_searched_is_refused(table, options, message):
    with pytest.raises(InputError, match=message):
        Differentiable(str(table.path), **{**TINY, **options}).run(quiet)


def test_a_table_of_a_part_is_refused(make_table):
    part = make_table(n=50)
    with pytest.raises(InputError, match="holds 50 of 125 architectures"):
        Differentiable(str(part.path), **TINY).run(quiet)
