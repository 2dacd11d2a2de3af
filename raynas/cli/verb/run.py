"""Run an experiment on Ray Tune."""

from __future__ import annotations

import argparse
import time

from raynas.cli import configuring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    configuring.add_config(parser)
    configuring.add_name(parser)
    configuring.add_storage(parser)
    configuring.add_address(parser)


def perform(arguments: argparse.Namespace) -> int:
    """Runs it; the exit status is 1 where no trial succeeded."""
    experiment = configuring.load(arguments, here=arguments.address is None)

    from raynas.cli.outcome import report
    from raynas.cli.progress import Progress
    from raynas.tune import running

    name = configuring.run_name(arguments)
    place = configuring.run_folder(arguments.storage, name)
    print(f"run directory {place.uri}; {'joining' if arguments.address else 'starting'} Ray ...", flush=True)
    started = time.monotonic()
    run = running.run(experiment, place, name=name, address=arguments.address, on_event=Progress(experiment))
    return report(run, experiment, place, time.monotonic() - started)
