"""Trainings looked up in a table: its numbers, its seconds, and what it does not know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tables import N_TRAINED, write_table

from raynas.config import load_text
from raynas.errors import ConfigError, InputError, RaynasError
from raynas.spaces import get_space
from raynas.trial import Trial
from raynas.workloads.query_table import CostModel, QueryTable

SPACE = get_space("nas_bench_201")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("tables") / "toy.parquet")


def reports(table, spec, index, seed=0):
    lookup = spec.start(Trial("nas_bench_201", SPACE.at(index), None, seed, table=str(table.path)))
    found = []
    while not lookup.done:
        found.append(lookup.step())
    return found


def test_it_reports_the_means_of_the_table_epoch_by_epoch(table):
    for index in (3, 15_624):
        found = reports(table, QueryTable(), index)
        assert [one.epoch for one in found] == list(range(1, 10))
        for one in found:
            due = table.query("valid_accuracy_pct", index, epoch=one.epoch)
            assert one.metrics["valid_accuracy_pct"] == pytest.approx(due)
            assert one.cost_s == pytest.approx(table.query("cost_s", index, epoch=one.epoch))
        assert "test_accuracy_pct" not in found[-2].metrics, "the table knows it at the end alone"
        assert found[-1].metrics["test_accuracy_pct"] == pytest.approx(
            table.query("test_accuracy_pct", index)
        )


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"report_every": 4}, [4, 8, 9]),
        ({"report_every": None}, [9]),
        ({"epoch": 5, "report_every": 2}, [2, 4, 5]),
    ],
)
def test_fewer_reports_cost_the_same(table, options, epochs):
    found = reports(table, QueryTable(**options), 7)
    assert [one.epoch for one in found] == epochs
    each = table.query("cost_s", 7, epoch=1)
    assert [one.cost_s for one in found] == pytest.approx(each * np.diff(epochs, prepend=0))


def test_one_seed_of_the_table_or_one_drawn_for_good(table):
    curves = table.curves("valid_accuracy_pct", 11)[:, -1]
    one = reports(table, QueryTable(seed=1, report_every=None), 11)[0]
    assert one.metrics["valid_accuracy_pct"] == pytest.approx(curves[1])
    drawn = [
        reports(table, QueryTable(seed="draw", report_every=None), 11, seed=seed)[0] for seed in range(30)
    ]
    again = reports(table, QueryTable(seed="draw", report_every=None), 11, seed=4)[0]
    assert again == drawn[4], "the same seed draws the same training"
    values = {one.metrics["valid_accuracy_pct"] for one in drawn}
    assert sorted(values) == pytest.approx(sorted(curves)), "and others the others"


def test_a_cost_model_takes_the_place_of_the_tables_seconds(table):
    spec = QueryTable(cost=CostModel(epoch_s=2, mflop_s=3), report_every=3)
    flops = table.query("flops_m", 20)
    assert [one.cost_s for one in reports(table, spec, 20)] == pytest.approx([3 * (2 + 3 * flops)] * 3)


def test_it_goes_on_from_its_state(table):
    trial = Trial("nas_bench_201", SPACE.at(5), None, 0, table=str(table.path))
    first, second = QueryTable().start(trial), QueryTable().start(trial)
    for _ in range(4):
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.step() == first.step()
    other = QueryTable().start(Trial("nas_bench_201", SPACE.at(6), None, 0, table=str(table.path)))
    with pytest.raises(RaynasError, match="the checkpoint is of"):
        other.load_state_dict(first.state_dict())


def test_members_of_one_class_share_what_they_report(table):
    assert reports(table, QueryTable(), 9) == reports(table, QueryTable(), 9 + 5 * N_TRAINED)


CONFIG = """\
search_space: nas_bench_201
table: {path}
workload: {{name: query_table{options}}}
searcher: random_search
report: {{metric: {metric}, mode: max}}
"""


@pytest.mark.parametrize(
    ("options", "metric", "message"),
    [
        (", epoch: 10", "valid_accuracy_pct", r"workload\.epoch: the table has no epoch 10; it has 1 to 9"),
        (", seed: 5", "valid_accuracy_pct", r"workload\.seed: the table has no seed 5; there are 0, 1"),
        (", dataset: cifar", "valid_accuracy_pct", r"workload\.dataset: .* no dataset 'cifar'"),
        (", schedule: 3", "valid_accuracy_pct", r"workload\.schedule: .* schedule of 3 epochs"),
        (
            ", epoch: 3",
            "test_accuracy_pct",
            r"workload\.epoch: the table knows test_accuracy_pct at epochs 9",
        ),
        ("", "valid_loss_", r"workload\.name: the table knows no valid_loss_"),
        (", cost: {epoch_s: -1}", "valid_loss", r"workload\.cost\.epoch_s: -1\.0 is negative"),
        (", report_every: 0", "valid_loss", r"workload\.report_every: 0 is below 1"),
    ],
)
def test_what_the_table_does_not_know_is_refused_when_the_config_is_read(table, options, metric, message):
    text = CONFIG.format(path=table.path, options=options, metric=metric)
    with pytest.raises(ConfigError, match=message):
        load_text(text, source="x.yaml")


def test_a_config_without_a_table_or_with_a_foreign_one_says_so(table, tmp_path):
    text = CONFIG.format(path="null", options="", metric="valid_loss")
    with pytest.raises(ConfigError, match=r"table: is missing; .* such as table: digits"):
        load_text(text, source="x.yaml")
    foreign = tmp_path / "foreign.parquet"
    foreign.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(ConfigError, match=r"table: .*foreign\.parquet"):
        load_text(CONFIG.format(path=foreign, options="", metric="valid_loss"), source="x.yaml")
    darts = CONFIG.format(path=table.path, options="", metric="valid_loss").replace(
        "search_space: nas_bench_201", "search_space: darts"
    )
    with pytest.raises(ConfigError, match="table: is of search space nas_bench_201, not darts"):
        load_text(darts, source="x.yaml")


def test_a_trial_without_a_table_says_so():
    with pytest.raises(InputError, match="the trial has no table"):
        QueryTable().start(Trial("nas_bench_201", SPACE.at(0), None, 0))


def test_a_table_without_seconds_costs_nothing(tmp_path):
    table = write_table(tmp_path / "free.parquet", costs=False)
    assert math.fsum(one.cost_s for one in reports(table, QueryTable(), 3)) == 0
