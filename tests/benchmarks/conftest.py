"""A small table of made-up numbers: two datasets, two schedules, seeds that are not all there."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from raynas.benchmarks import About, Metric, Runs, Table, write
from raynas.spaces import get_space


@pytest.fixture(scope="session")
def space():
    return get_space("nas_bench_201")


def made_up(indices, seed, epochs):
    """``(n, n_epochs)`` numbers in 0 to 100 that tell architecture, seed and epoch apart."""
    return np.array([[index % 97 + epoch / 100 + seed / 1000 for epoch in epochs] for index in indices])


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The table; ``indices`` have runs of seed 0, those that are even also of seed 1."""
    path = tmp_path_factory.mktemp("tables") / "small.parquet"
    rng = np.random.default_rng(0)
    indices = rng.choice(15_625, size=40, replace=False)
    indices[0] = 14

    def runs():
        for seed, some in ((0, indices[:25]), (1, indices[indices % 2 == 0]), (0, indices[25:])):
            epochs = (1, 2, 3)
            final = np.full((some.size, 3), np.nan)
            final[:, -1] = 12.5
            yield Runs(
                "cifar10",
                3,
                seed,
                epochs,
                some,
                {
                    "valid_accuracy_pct": made_up(some, seed, epochs),
                    "valid_loss": made_up(some, seed, epochs) / 100,
                    "parameters_m": some / 1e6,
                    "shifted_accuracy_pct": final,
                },
            )
        for schedule, epochs in ((12, (12,)), (200, (1, 100, 200))):
            metrics = {"test_accuracy_pct": made_up(indices, 7, epochs)}
            yield Runs("cifar100", schedule, 7, epochs, indices, metrics)

    shifted = Metric("shifted_accuracy_pct", "float64", "percent", "accuracy on shifted test images")
    about = About("nas_bench_201", "a test", "nothing", {"learning_rate": 0.1})
    write(path, about, runs(), extra=[shifted])
    return SimpleNamespace(path=path, indices=indices, table=Table.open(path), made_up=made_up)
