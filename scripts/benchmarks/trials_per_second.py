"""Trials a second of ``raynas run`` on a workload that costs nothing, beside plain Ray Tune's.

Both sides run the same number of trials with the same number of concurrent slots, turn and turn about, each
in a process and on a Ray of its own. Plain Ray Tune is a class Trainable with reused actors and random
search over six categorical choices: once as Ray Tune comes, with its log files for every trial, and once
without them (TUNE_DISABLE_AUTO_CALLBACK_LOGGERS=1), which is the harder comparison. Seconds are those of
the search itself, from the call to its return, without the start of Ray.

    python scripts/benchmarks/trials_per_second.py --trials 400 --slots 2 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SIDES = ("plain, own loggers", "plain, no loggers", "raynas", "raynas, batch 32")


def plain(n_trials: int, slots: int, storage: str) -> float:
    from free_workload import accuracy
    from ray import tune

    class Lookup(tune.Trainable):
        def setup(self, config: dict[str, str]) -> None:
            self.config = config

        def step(self) -> dict[str, object]:
            index = 0
            for edge in range(6):
                index = 5 * index + OPERATIONS.index(self.config[f"edge{edge}"])
            return {"accuracy_pct": accuracy(index), "done": True}

        def reset_config(self, new_config: dict[str, str]) -> bool:
            self.config = new_config
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            pass

        def load_checkpoint(self, checkpoint: object) -> None:
            pass

    tuner = tune.Tuner(
        tune.with_resources(Lookup, {"cpu": 1}),
        param_space={f"edge{edge}": tune.choice(list(OPERATIONS)) for edge in range(6)},
        tune_config=tune.TuneConfig(
            num_samples=n_trials,
            metric="accuracy_pct",
            mode="max",
            reuse_actors=True,
            max_concurrent_trials=slots,
        ),
        run_config=tune.RunConfig(storage_path=storage, name="plain", verbose=0),
    )
    started = time.perf_counter()
    found = tuner.fit()
    seconds = time.perf_counter() - started
    assert found.num_terminated == n_trials
    return seconds


def ours(n_trials: int, slots: int, storage: str, batch: int) -> float:
    from raynas.config import load_text
    from raynas.storage import LocalFolder
    from raynas.tune import running

    text = f"""\
search_space: nas_bench_201
workload: "free_workload:Free"
searcher: {{name: random_search, n_proposals: {n_trials}}}
report: {{metric: accuracy_pct}}
batch: {batch}
tune: {{max_concurrent: {slots}}}
"""
    experiment = load_text(text, source="benchmark")
    started = time.perf_counter()
    run = running.run(experiment, LocalFolder(Path(storage) / "run"), name="run")
    seconds = time.perf_counter() - started
    assert run.counts.nominal == n_trials
    return seconds


def one_side(side: str, n_trials: int, slots: int) -> float:
    import ray

    if side == "plain, no loggers":
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with tempfile.TemporaryDirectory() as storage:
            if side.startswith("plain"):
                return plain(n_trials, slots, storage)
            return ours(n_trials, slots, storage, 32 if "batch" in side else 1)
    finally:
        ray.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(one_side(arguments.side, arguments.trials, arguments.slots)))
        return
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(arguments.repeats):
        for side in SIDES:
            command = [
                sys.executable,
                __file__,
                "--trials",
                str(arguments.trials),
                "--slots",
                str(arguments.slots),
            ]
            done = subprocess.run([*command, "--side", side], stdout=subprocess.PIPE, check=True)
            seconds = json.loads(done.stdout.splitlines()[-1])
            rates[side].append(arguments.trials / seconds)
            print(
                f"{side:<20} {arguments.trials} trials in {seconds:6.1f} s: {rates[side][-1]:7.1f} a second",
                flush=True,
            )
    medians = {side: statistics.median(values) for side, values in rates.items()}
    print(f"\nmedians of {arguments.repeats}, {arguments.trials} trials, {arguments.slots} slots")
    for side, rate in medians.items():
        over = ", ".join(f"{rate / medians[other]:.2f} x {other}" for other in SIDES[:2])
        print(f"{side:<20} {rate:7.1f} trials a second  ({over})")


if __name__ == "__main__":
    main()
