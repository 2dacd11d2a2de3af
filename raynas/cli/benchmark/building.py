"""Train what a table is made of and write it; the same command again goes on where it was interrupted."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynas.cli import configuring

if TYPE_CHECKING:
    from raynas.config import Experiment
    from raynas.search.run import Run
    from raynas.storage import Folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    configuring.add_config(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE.parquet", help="the table to write")
    parser.add_argument(
        "--name", help="name of the run and of its directory (default: CONFIG, with --smoke CONFIG-smoke)"
    )
    configuring.add_storage(parser)
    configuring.add_address(parser)
    parser.add_argument(
        "--no-training",
        action="store_true",
        help="write what the run directory holds by now, be it all or a part, also while the run goes on",
    )


def perform(arguments: argparse.Namespace) -> int:
    """Runs, goes on or does neither, then writes the table; the exit status is 1 where no trial succeeded."""
    from raynas.errors import InputError

    # What stands in the way of the table is said before hours of training, not after them.
    if arguments.out.suffix != ".parquet" or arguments.out.is_dir():
        raise InputError(f"--out {arguments.out}: give a file's path that ends in .parquet")
    stem = Path(arguments.config).stem
    name = arguments.name or (f"{stem}-smoke" if arguments.smoke else stem)
    place = configuring.run_folder(arguments.storage, name)
    if not arguments.no_training:
        experiment = configuring.load(arguments, here=arguments.address is None)
        if experiment.dataset is None:
            raise InputError(f"{arguments.config}: dataset: a table is of trainings; name what to train on")
        if _trained(experiment, place, name, arguments).best is None:
            return 1
    _write(arguments.out, place)
    return 0


def _trained(experiment: Experiment, place: Folder, name: str, arguments: argparse.Namespace) -> Run:
    """The run at its end: a new one, one that was gone on with, or one that had ended before.

    Raises:
        InputError: The directory holds a run of another configuration.
    """
    from raynas import journal
    from raynas.cli.outcome import report
    from raynas.cli.progress import Progress
    from raynas.config import override
    from raynas.errors import InputError
    from raynas.tune import running

    begun = {journal.FILE, journal.SEGMENTS} & set(place.names())
    records = journal.read(place) if begun else []
    ended = any(record["kind"] == "end" for record in records)
    if records and records[0].get("digest") != running.digest(experiment):
        raise InputError(
            f"{place.uri} holds a run of another configuration than {arguments.config}, or of a version of "
            "raynas that read it otherwise; give another --name, or --no-training for its table as it is"
        )
    what = "has ended" if ended else "going on" if records else "a new run"
    print(f"run directory {place.uri}: {what}", flush=True)
    watch: dict[str, Any] = {"address": arguments.address, "on_event": Progress(experiment)}
    started = time.monotonic()
    try:
        if records:
            overrides = [item for item in map(override, arguments.override) if item.path[0] == "tune"]
            run = running.resume(place, overrides=overrides, **watch)
        else:
            run = running.run(experiment, place, name=name, **watch)
    except running.InterruptedRunError as error:
        raise running.InterruptedRunError(
            "interrupted; nothing is lost: the same command goes on, and --no-training writes what there is"
        ) from error
    if not ended or run.best is None:
        report(run, experiment, place, time.monotonic() - started)
    return run


def _write(out: Path, place: Folder) -> None:
    from raynas import results
    from raynas.benchmarks import Table
    from raynas.benchmarks.building import build
    from raynas.config.plain import to_plain
    from raynas.config.stored import experiment_of

    frame = results.of_run(place)
    experiment = experiment_of(place, here=False)
    built = build(out, frame, to_plain(experiment), constants={"splits": _splits(experiment.dataset)})
    print(f"{Table.open(out).describe()}\n{out.stat().st_size:,} bytes")
    if not built.is_whole:
        print(f"a part of the space only: {built}", file=sys.stderr)


def _splits(dataset: Any) -> dict[str, Any]:
    """What the dataset's splits are, with a fingerprint of their images and labels."""
    import hashlib
    import inspect

    from raynas.errors import InputError

    try:
        data = dataset.load()
    except InputError as error:  # its files may lie where the trials ran
        return {"note": f"not known where the table was made: {str(error).splitlines()[0]}"}
    found: dict[str, Any] = {"meaning": " ".join(str(inspect.getdoc(type(dataset))).split())}
    for name in ("train", "valid", "test"):
        split = getattr(data, name)
        content = hashlib.sha256(split.images.tobytes() + split.labels.tobytes()).hexdigest()
        found[name] = {"images": len(split), "sha256": content}
    return {**found, "scale": data.scale, "mean": list(data.mean), "std": list(data.std)}
