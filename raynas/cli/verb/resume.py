"""Go on with an interrupted run."""

from __future__ import annotations

import argparse
import time

from raynas.cli import configuring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="directory that 'raynas run' made")
    configuring.add_overrides(parser, "change a value under tune, such as tune.max_concurrent=8")
    parser.add_argument("--address", metavar="ADDR", help="join a running Ray cluster")


def perform(arguments: argparse.Namespace) -> int:
    """Goes on to the run's end; the exit status is 1 where no trial succeeded."""
    from raynas import config, journal
    from raynas.cli.outcome import report
    from raynas.cli.progress import Progress
    from raynas.config.stored import experiment_of
    from raynas.storage import folder
    from raynas.tune import running

    place = folder(arguments.run_dir)
    journal.read(place)
    experiment = experiment_of(place, here=False)
    overrides = [config.override(text) for text in arguments.override]
    started = time.monotonic()
    run = running.resume(place, overrides=overrides, address=arguments.address, on_event=Progress(experiment))
    return report(run, experiment, place, time.monotonic() - started)
