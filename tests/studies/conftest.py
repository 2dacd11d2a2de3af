"""Tables small enough for plain loops: cells of three nodes, 125 of them, 13 in a neighborhood."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from raynas.benchmarks import About, Metric, Runs, Table, write
from raynas.spaces import get_space
from raynas.studies.na import NA

YAML = """\
kind: nas_bench_201
nodes: 3
operations: [none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3]
"""
EPOCHS = tuple(range(1, 21))
SHIFTED = Metric("shifted_accuracy_pct", "float64", "percent", "accuracy on shifted test images")


@pytest.fixture(scope="session")
def small_space(tmp_path_factory):
    path = tmp_path_factory.mktemp("spaces") / "three_nodes.yaml"
    path.write_text(YAML)
    return get_space(str(path))


@pytest.fixture(scope="session")
def make_table(tmp_path_factory, small_space):
    """Writes a table of made-up curves; its options say what of them is left out."""

    def make(
        *, n=125, epochs=EPOCHS, seeds=(0, 1, 2), leave_out=(), dataset="digits", noise=1.0, constants=None
    ):
        rng = np.random.default_rng(0)
        ops = small_space.ops_table()
        final = 88 + 2 * rng.normal(size=(3, 5))[np.arange(3), ops].sum(axis=1)
        indices = np.arange(n)

        def runs():
            for seed in seeds:
                drawn = rng.normal(size=(125, len(epochs))) * (0.3 + 3 / np.array(epochs))
                valid = np.round(5 * (final[:, None] * (1 - 0.5 / np.array(epochs)) + noise * drawn)) / 5
                last = np.full((125, len(epochs)), np.nan)
                last[:, -1] = np.clip(final - 25 + rng.normal(size=125), 0, 100)
                metrics = {
                    "valid_accuracy_pct": np.clip(valid, 0, 100)[:n],
                    "test_accuracy_pct": np.clip(valid + noise * rng.normal(size=valid.shape), 0, 100)[:n],
                    "parameters_m": (ops == 3).sum(axis=1)[:n] / 1e3,
                    "shifted_accuracy_pct": last[:n],
                }
                kept = {name: values for name, values in metrics.items() if name not in leave_out}
                yield Runs(dataset, epochs[-1], seed, epochs, indices, kept)

        path = tmp_path_factory.mktemp("tables") / "small.parquet"
        about = About(small_space.name, "a test", "nothing", constants or {})
        write(path, about, runs(), extra=[SHIFTED])
        return Table.open(path)

    return make


@pytest.fixture(scope="session")
def study(make_table):
    """The study of neighborhoods: its table, its text, its frames by name."""
    table = make_table()
    options = {"repeats": 400, "n_nbr": (4, 13), "n_steps": 12, "n_top": 20, "epochs": (2,)}
    made = NA(str(table.path), **options).run(lambda what: None)
    return SimpleNamespace(
        table=table, text=made.text, frames={section.name: section.frame for section in made.sections}
    )
