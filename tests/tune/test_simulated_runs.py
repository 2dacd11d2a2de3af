"""A run on Ray Tune and the same run simulated: one search, the same decisions."""

from __future__ import annotations

import pandas as pd
import pytest
from tables import write_table

from raynas import results
from raynas.config import load_text, override
from raynas.simulation import Cluster, simulate

pytestmark = pytest.mark.ray

CONFIG = """\
search_space: nas_bench_201
table: {table}
workload: {{name: query_table, report_every: {every}}}
searcher: {searcher}
scheduler: {scheduler}
report: {{metric: valid_accuracy_pct}}
tune: {{checkpoint_every: 0}}
"""
SEARCH = "{name: neighborhood, base: {name: random_search, n_proposals: 20}, n_nbr: 10}"
EVOLUTION = "{name: regularized_evolution, n_proposals: 25}"


@pytest.mark.parametrize(
    ("searcher", "scheduler", "every", "overrides", "workers"),
    [
        (SEARCH, "fifo", "null", ["batch=32"], 7),
        (EVOLUTION, "{name: asha, eta: 2}", "1", ["tune.max_concurrent=1"], 1),
        (EVOLUTION, "{name: asha, eta: 2, variant: stopping}", "1", ["tune.max_concurrent=1"], 1),
        (
            "random_search",
            "{name: nosh, levels: [1, 2, 4, 9], n_first: 10, n_batch: 5, n_pool: 30}",
            "1",
            ["tune.checkpoint_every=0"],
            5,
        ),
    ],
    ids=["neighborhoods in batches", "promotion", "stopping", "pyramid"],
)
def test_they_evaluate_pause_and_stop_the_same_and_find_the_same_best(
    run, tmp_path, searcher, scheduler, every, overrides, workers
):
    table = write_table(tmp_path / "toy.parquet")
    text = CONFIG.format(table=table.path, every=every, searcher=searcher, scheduler=scheduler)
    on_ray, folder = run(*overrides, text=text)
    experiment = load_text(text, source="x.yaml", overrides=[override(item) for item in overrides])
    simulated = simulate(experiment, Cluster(workers=workers))
    made, played = results.of_run(folder), simulated.frame()
    columns = [column for column in made if column not in ("run", "time")]
    pd.testing.assert_frame_equal(made[columns], played[columns])
    assert on_ray.best == simulated.run.best
    assert on_ray.counts == simulated.run.counts
    statuses = set(made["status"])
    assert ("paused" in statuses) == (scheduler.startswith("{") and "stopping" not in scheduler)
