"""Simulated reports a second of raynas and of Syne Tune's simulator, on the same table, in one run.

    python scripts/benchmarks/simulation.py [--table digits] [--trials 1000 10000] [--workers 64]

Syne Tune is needed for its side alone: ``pip install syne-tune huggingface_hub`` (0.16 was measured). Both
sides run random search and asynchronous successive halving (eta 3, first rung at epoch 1) over the table's
mean curves and draw what they evaluate without repetition. The clock runs from the first proposal to the data
frame of results; before it starts, raynas has read the table, Syne Tune has built its black box, and both
have played a small search. What is printed is the median of --repeats, turn and turn about. A last part
measures raynas alone at up to a million trials on --scaling-workers, under ASHA and NOSH, on a space and with
curves that no table limits.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import tempfile
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raynas.benchmarks import Table, open_table
from raynas.config import Experiment
from raynas.search.asktell import Objective, SearchContext
from raynas.search.ordered import Ordered
from raynas.search.scheduler.asha import Asha
from raynas.search.scheduler.fifo import Fifo
from raynas.search.scheduler.nosh import Nosh
from raynas.search.searcher.random_search import RandomSearch
from raynas.simulation import Cluster, simulate
from raynas.spaces import Architecture, SearchSpace
from raynas.trial import Recording, Recordings, Trial
from raynas.workloads.query_table import QueryTable

METRIC = "valid_accuracy_pct"


@dataclass(frozen=True)
class WithoutRepetition:
    """Random search that proposes no architecture twice, as Syne Tune's does."""

    n_proposals: int

    def start(self, context: SearchContext) -> Ordered:
        order = context.generator("order").permutation(context.space.size)
        return Ordered(_Listed(context.space, order), context.objective, n_proposals=self.n_proposals)


class _Listed:
    def __init__(self, space: SearchSpace, order: np.ndarray) -> None:
        self._space, self._order = space, iter(order.tolist())

    def propose(self) -> Architecture:
        return self._space.at(next(self._order))

    def observe(self, architecture: Architecture, cost: float | None) -> None:
        """Nothing to learn."""


@dataclass(frozen=True)
class Curve:
    """Made-up curves of 27 epochs: what the architecture is worth, less what is still to be learned."""

    def recording(self, trial: Trial) -> Recording:
        digest = hash(trial.architecture)
        value = 60 + digest % 4001 / 100
        epochs = np.arange(1, 28)
        elapsed_s = EPOCH_S * (1 + digest % 7) * epochs
        return Recording(Recordings(epochs, elapsed_s[None], {METRIC: (value - 30 / epochs)[None]}), 0)

    def start(self, trial: Trial) -> None:
        raise NotImplementedError("to be simulated only")


EPOCH_S = 10.0


def experiment(table: Table, scheduler: Asha | Fifo, n_trials: int) -> Experiment:
    return Experiment(
        search_space=table.space.name,
        table=str(table.path),
        workload=QueryTable(),
        searcher=WithoutRepetition(n_trials),
        scheduler=scheduler,
        report=Objective(METRIC),
    )


def raynas_side(table: Table, scheduler: Asha | Fifo, n_trials: int, workers: int) -> tuple[int, float]:
    """Reports and seconds, from the first proposal to the result frame."""
    planned = experiment(table, scheduler, n_trials)
    QueryTable().recording(Trial(table.space.name, table.space.at(0), None, 0, table=str(table.path)))
    started = time.perf_counter()
    played = simulate(planned, Cluster(workers=workers))
    frame = played.frame()
    seconds = time.perf_counter() - started
    assert len(frame) == played.n_reports
    return played.n_reports, seconds


def syne_tune_side(table: Table, scheduler: Asha | Fifo, n_trials: int, workers: int) -> tuple[int, float]:
    """Reports and seconds."""
    import pandas as pd
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
    from syne_tune.blackbox_repository import UserBlackboxBackend
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
    from syne_tune.config_space import choice, randint
    from syne_tune.optimizer.baselines import ASHA, RandomSearch

    class Counting(SimulatorCallback):
        n_reports = 0

        def on_trial_result(self, *args, **kwargs):
            self.n_reports += 1
            return super().on_trial_result(*args, **kwargs)

        def store_results(self):
            self.frame = self.dataframe()  # and leaves the disk alone, as the other side does

    part = table.part()
    last = part.epochs[-1]
    space = {f"edge_{i}": choice(list(range(5))) for i in range(table.space.n_edges)}
    values = table.curves(METRIC).mean(axis=1)
    seconds = np.cumsum(table.curves("cost_s").mean(axis=1), axis=1)
    blackbox = BlackboxTabular(
        pd.DataFrame(table.space.ops_table(), columns=list(space)),
        space,
        {"epoch": randint(1, last)},
        np.stack([values, seconds], axis=-1)[:, None],
        objectives_names=[METRIC, "elapsed_s"],
    )
    backend = UserBlackboxBackend(blackbox, elapsed_time_attr="elapsed_s", max_resource_attr="epochs")
    options = {"config_space": {**space, "epochs": last}, "do_minimize": False, "random_seed": 0}
    if isinstance(scheduler, Asha):
        theirs = ASHA(
            metric=METRIC,
            time_attr="epoch",
            max_t=last,
            grace_period=scheduler.grace,
            reduction_factor=scheduler.eta,
            **options,
        )
    else:
        theirs = RandomSearch(metrics=[METRIC], **options)
    counting = Counting()
    tuner = Tuner(
        trial_backend=backend,
        scheduler=theirs,
        stop_criterion=StoppingCriterion(max_num_trials_started=n_trials),
        n_workers=workers,
        sleep_time=0,
        callbacks=[counting],
        print_update_interval=1e9,
        results_update_interval=1e9,
        save_tuner=False,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        started = time.perf_counter()
        tuner.run()
        return counting.n_reports, time.perf_counter() - started


def compare(table: Table, trials: list[int], workers: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder  # before it is imported
        logging.disable(logging.WARNING)
        for side in (raynas_side, syne_tune_side):
            side(table, Fifo(), 100, workers)
        for n_trials in trials:
            # Syne Tune's ASHA promotes by pausing, too
            for name, scheduler in (("random search", Fifo()), ("ASHA, promotion", Asha())):
                rates = np.array(
                    [
                        [n / seconds for n, seconds in (ours, theirs)]
                        for _ in range(repeats)
                        for ours in [raynas_side(table, scheduler, n_trials, workers)]
                        for theirs in [syne_tune_side(table, scheduler, n_trials, workers)]
                    ]
                )
                ours, theirs = np.median(rates, axis=0)
                ratio = np.median(rates[:, 0] / rates[:, 1])
                print(
                    f"{n_trials:>6,} trials, {name:<16} raynas {ours:>9,.0f} reports/s  "
                    f"Syne Tune {theirs:>8,.0f} reports/s  ratio {ratio:,.1f}",
                    flush=True,
                )


def pyramid(n_trials: int, workers: int, mode: Literal["synchronous", "asynchronous"]) -> Nosh:
    """Batches as large as the cluster, so that synchronous ones leave few workers idle."""
    batch = min(workers, n_trials)
    return Nosh((1, 3, 9, 27), 0.5, n_first=batch, n_batch=batch, n_pool=n_trials, mode=mode)


def scaling(counts: list[int], workers: int) -> None:
    for n_trials in counts:
        schedulers = {
            "ASHA": Asha(),
            "NOSH": pyramid(n_trials, workers, "synchronous"),
            "NOSH, asynchronous": pyramid(n_trials, workers, "asynchronous"),
        }
        for name, scheduler in schedulers.items():
            planned = Experiment(
                search_space="darts",
                workload=Curve(),
                searcher=RandomSearch(n_trials),
                scheduler=scheduler,
                report=Objective(METRIC),
            )
            started = time.perf_counter()
            played = simulate(planned, Cluster(workers=workers))
            seconds = time.perf_counter() - started
            print(
                f"{n_trials:>9,} trials on {workers:,} workers, {name:<18} {played.n_events:>9,} events in "
                f"{seconds:7.1f} s, {1e6 * seconds / played.n_events:5.1f} us each",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", default="digits")
    parser.add_argument("--trials", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scaling", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--scaling-workers", type=int, default=1_000)
    arguments = parser.parse_args()
    if arguments.trials:
        compare(open_table(arguments.table), arguments.trials, arguments.workers, arguments.repeats)
    scaling(arguments.scaling, arguments.scaling_workers)


if __name__ == "__main__":
    main()
