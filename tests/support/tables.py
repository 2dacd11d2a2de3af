"""A small made-up table over the whole of NAS-Bench-201: few trainings, shared by all architectures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from raynas.benchmarks import About, Runs, Table, write
from raynas.spaces import get_space

N_TRAINED = 200
EPOCHS = tuple(range(1, 10))
SEEDS = (0, 1)


def write_table(path: Path, *, costs: bool = True) -> Table:
    """200 trainings of 9 epochs with two seeds; architecture i is trained as i modulo 200."""
    rng = np.random.default_rng(7)
    shape = (N_TRAINED, len(EPOCHS))
    worth = rng.normal(80, 8, size=(N_TRAINED, 1))
    runs = []
    for seed in SEEDS:
        accuracy = np.clip(worth - 40 / np.arange(1, 10) + rng.normal(0, 2, shape), 1, 99)
        test = np.full(shape, np.nan)
        test[:, -1] = accuracy[:, -1] - 1
        metrics = {
            "valid_accuracy_pct": accuracy,
            "valid_loss": 5 - accuracy / 25,
            "test_accuracy_pct": test,
            "flops_m": np.linspace(1, 3, N_TRAINED),
        }
        if costs:
            metrics["cost_s"] = np.broadcast_to(np.linspace(0.5, 2.5, N_TRAINED)[:, None], shape)
        runs.append(Runs("toy", 9, seed, EPOCHS, np.arange(N_TRAINED), metrics))
    trained_as = np.arange(get_space("nas_bench_201").size) % N_TRAINED
    write(path, About("nas_bench_201", "a test", "made-up numbers"), runs, trained_as=trained_as)
    return Table.open(path)
