"""Kendall's tau of the ranking predictor on architectures that it has not seen, on a table of results.

    python scripts/benchmarks/ranking_predictor.py [--table digits] [--dataset NAME] [--pools 20 50 100]

The predictor learns from one seed's validation accuracies of a random pool and is asked to rank up to 2,000
other architectures, whose mean test accuracy is the truth. A pool of one level has the accuracies after the
last epoch; a pool of mixed levels is a halving pyramid (levels at an eighth, a quarter, half and all of the
epochs, the better half of each level reaching the next), so most of its members have the accuracy of an early
epoch only. Where architectures share a training, one of each class is used: nothing that is asked for was in
the pool under another name.

Beside it: the number of parameters; zero-cost proxies (--proxies) of the networks that --images, --channels,
--cells and --stages say, by default the embedded table's; accuracies of the kind that the pool learned from,
as if everything that is asked for had been fully trained; and how well the pool's own keys rank the pool,
which is all that there is to learn from. Mean and standard deviation (ddof 0) over --repeats pools, the same
for all methods; the seconds of a fit are processor seconds on one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from raynas.analysis.rank_correlation import kendall_tau
from raynas.benchmarks import Table, open_table
from raynas.lookup import build
from raynas.predictors.ranking import RankingPredictor
from raynas.predictors.ranking.pairs import dense_ranks
from raynas.predictors.scoring import score_architectures
from raynas.seeding import generator
from raynas.spaces.canonical import classes

SIGNAL, TRUTH, PARAMETERS = "valid_accuracy_pct", "test_accuracy_pct", "parameters_m"
HALVINGS = 3

Keys = list[tuple[float, float]]


@dataclass(frozen=True)
class Results:
    """A table's results on one dataset."""

    table: Table
    dataset: str | None
    schedule: int | None

    def values(self, metric: str, indices: np.ndarray, **chosen: int) -> np.ndarray:
        return self.table.query(metric, indices, dataset=self.dataset, schedule=self.schedule, **chosen)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """All indices in a random order, but one only of each class whose members share a training."""
        indices = rng.permutation(self.table.architectures(self.dataset, self.schedule))
        about = self.table.describe()
        if about.n_trained == about.n_architectures:
            return indices
        _, first = np.unique(classes(self.table.space)[0][indices], return_index=True)
        return rng.permutation(indices[first])

    def pyramid(self, pool: np.ndarray, epochs: list[int], seed: int) -> Keys:
        """Level and accuracy of each member; the better half at each level has reached the next."""
        keys: dict[int, tuple[float, float]] = {}
        reached = pool
        for level, epoch in enumerate(epochs):
            values = self.values(SIGNAL, reached, epoch=epoch, seed=seed)
            keys |= {i: (level, value) for i, value in zip(reached.tolist(), values.tolist(), strict=True)}
            reached = reached[np.argsort(-values, kind="stable")[: (len(reached) + 1) // 2]]
        return [keys[index] for index in pool.tolist()]


class Proxies:
    """Scores at first weights, each architecture's taken once."""

    def __init__(self, names: list[str], images: str, **network: int) -> None:
        self.names, self._network = names, network
        self._images = build("raynas.data.dataset", images)
        self._known: dict[int, np.ndarray] = {}

    def of(self, table: Table, indices: np.ndarray) -> np.ndarray:
        """``(n, proxies)``."""
        missing = [index for index in indices.tolist() if index not in self._known] if self.names else []
        if missing:
            cells = [table.space.at(index) for index in missing]
            scored = score_architectures(self.names, cells, self._images, **self._network).scores
            columns = np.stack([scored[name][0] for name in self.names], axis=1)
            self._known.update(zip(missing, columns, strict=True))
        return np.array([self._known.get(index, ()) for index in indices.tolist()])


def measure(
    results: Results,
    predictors: list[RankingPredictor],
    proxies: Proxies,
    n_pool: int,
    epochs: list[int],
    repeat: int,
) -> Iterator[tuple[float, float]]:
    """Tau and seconds of the criteria beside it, then of each predictor."""
    table, part = results.table, results.table.part(results.dataset, results.schedule)
    order = results.draw(generator(repeat, "pool"))
    pool, asked = order[:n_pool], order[n_pool : n_pool + 2_000]
    truth = results.values(TRUTH, asked)
    seed = part.seeds[repeat % len(part.seeds)]
    known = PARAMETERS in part.known
    yield (kendall_tau(results.values(PARAMETERS, asked), truth) if known else np.nan), np.nan
    for column in proxies.of(table, asked).T:
        yield kendall_tau(column, truth), np.nan
    yield kendall_tau(results.values(SIGNAL, asked, seed=seed), truth), np.nan

    keys = results.pyramid(pool, epochs, seed)
    yield kendall_tau(dense_ranks(keys), results.values(TRUTH, pool)), np.nan

    members = [table.space.at(index) for index in pool.tolist()]
    candidates = [table.space.at(index) for index in asked.tolist()]
    for predictor in predictors:
        started = time.process_time()
        fitted = predictor.fit(members, keys, seed=repeat)
        seconds = time.process_time() - started
        yield kendall_tau(fitted.score(candidates), truth), seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", default="digits")
    parser.add_argument("--dataset")
    parser.add_argument("--schedule", type=int)
    parser.add_argument("--pools", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--ensemble", type=int, default=1)
    parser.add_argument("--batch", type=int, help="pairs a step; all of an epoch if not given")
    parser.add_argument("--proxies", nargs="*", default=["synflow"])
    parser.add_argument("--images", default="digits")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--stages", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    results = Results(open_table(arguments.table), arguments.dataset, arguments.schedule)
    common = RankingPredictor(ensemble=arguments.ensemble, batch=arguments.batch)
    predictors = [
        dataclasses.replace(common, encoder=encoder, loss=loss)
        for encoder, loss in product(("gin", "mlp"), ("logistic", "hinge"))
    ]
    network = {name: getattr(arguments, name) for name in ("channels", "cells", "stages")}
    proxies = Proxies(arguments.proxies, arguments.images, **network)
    names = [
        PARAMETERS,
        *proxies.names,
        f"{SIGNAL} itself",
        "the keys, within the pool",
        *(f"{one.encoder}, {one.loss}" for one in predictors),
    ]
    epochs = results.table.part(results.dataset, results.schedule).known[SIGNAL]
    levels = [epochs[-1] // 2**halving for halving in range(HALVINGS, -1, -1)]
    print("| pool | levels (epochs) | ranked by | tau | seconds a fit |\n| ---: | --- | --- | ---: | ---: |")
    for n_pool in arguments.pools:
        for chosen in ([epochs[-1]], *([levels] if set(levels) <= set(epochs) else [])):
            rows = np.array(
                [
                    list(measure(results, predictors, proxies, n_pool, chosen, i))
                    for i in range(arguments.repeats)
                ]
            )
            for name, (tau, seconds), spread in zip(
                names, rows.mean(axis=0), rows[..., 0].std(axis=0), strict=True
            ):
                fit = "" if np.isnan(seconds) else f"{seconds:.1f}"
                at = ", ".join(map(str, chosen))
                if not np.isnan(tau):
                    print(f"| {n_pool} | {at} | {name} | {tau:.3f} +- {spread:.3f} | {fit} |", flush=True)


if __name__ == "__main__":
    main()
