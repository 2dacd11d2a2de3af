"""Play an experiment over a table on a simulated cluster, without Ray."""

from __future__ import annotations

import argparse
import time

from raynas.cli import configuring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    configuring.add_config(parser)
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="simulated workers (default: 1)")
    parser.add_argument(
        "--start-up-s", type=float, default=0.0, metavar="S", help="seconds to start a trial (default: 0)"
    )
    parser.add_argument(
        "--checkpoint-s",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds to write or to read a checkpoint (default: 0)",
    )
    parser.add_argument(
        "--mtbf-s", type=float, metavar="S", help="mean seconds between failures of a worker (default: none)"
    )
    parser.add_argument(
        "--repair-s", type=float, default=0.0, metavar="S", help="seconds to repair a worker (default: 0)"
    )
    configuring.add_name(parser)
    configuring.add_storage(parser)


def perform(arguments: argparse.Namespace) -> int:
    """Plays it; the exit status is 1 where no trial succeeded."""
    experiment = configuring.load(arguments)

    from raynas import config, results
    from raynas.cli.outcome import report
    from raynas.config.stored import CONFIG
    from raynas.errors import InputError
    from raynas.simulation import Cluster, Simulation, simulate

    name = configuring.run_name(arguments)
    place = configuring.run_folder(arguments.storage, name)
    if place.names():
        raise InputError(f"{place.uri} is there already; give another --name")
    try:
        cluster = Cluster(
            workers=arguments.workers,
            start_up_s=arguments.start_up_s,
            checkpoint_s=arguments.checkpoint_s,
            mtbf_s=arguments.mtbf_s,
            repair_s=arguments.repair_s,
        )
    except ValueError as error:
        raise InputError(f"--{str(error).replace('_', '-', 2)}") from error

    def progress(state: Simulation) -> None:
        made = state.run.counts.nominal
        print(f"{made:>9,} proposals  {state.n_events:>10,} events  {state.elapsed_s:,.0f} s", flush=True)

    started = time.monotonic()
    played = simulate(experiment, cluster, name=name, on_event=progress)
    seconds = time.monotonic() - started
    place.write(CONFIG, config.to_yaml(experiment).encode())
    about = results.Header(name, experiment.search_space, experiment.report.metric, experiment.report.mode)
    place.write(results.FILE, results.parquet(played.frame(), about))
    share = played.busy_s / (played.elapsed_s * arguments.workers) if played.elapsed_s else 0.0
    print(
        f"simulated {played.elapsed_s:,.1f} s on {arguments.workers} workers, {100 * share:.0f} % of them "
        f"busy; {played.n_reports:,} reports, {played.n_worker_failures} failures of workers"
    )
    return report(played.run, experiment, place, seconds)
