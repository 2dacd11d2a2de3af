"""The arguments that name a configuration, shared by the verbs that take one."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raynas.config import Experiment
    from raynas.storage import Folder


def add_config(parser: argparse.ArgumentParser) -> None:
    """``CONFIG``, ``-o`` and ``--smoke``."""
    parser.add_argument("config", metavar="CONFIG", help="a name from tune_configs/, or a YAML file's path")
    add_overrides(parser, "set a value of the configuration; may be given many times")
    parser.add_argument("--smoke", action="store_true", help="shrink every count, to try it out in seconds")


def add_overrides(parser: argparse.ArgumentParser, meaning: str) -> None:
    """``-o KEY.PATH=VALUE``."""
    parser.add_argument(
        "-o", "--override", metavar="KEY.PATH=VALUE", action="append", default=[], help=meaning
    )


def add_name(parser: argparse.ArgumentParser) -> None:
    """``--name``; see ``run_name``."""
    parser.add_argument("--name", help="name of the run and of its directory (default: CONFIG and the time)")


def run_name(arguments: argparse.Namespace) -> str:
    """The given name of a run, or one of its configuration and the time."""
    name: str | None = arguments.name
    return name or f"{Path(arguments.config).stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def add_storage(parser: argparse.ArgumentParser) -> None:
    """``--storage``."""
    parser.add_argument(
        "--storage",
        default="runs",
        metavar="URI",
        help="where run directories go: a path, or a URI such as s3://...",
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """``--address``."""
    parser.add_argument(
        "--address",
        metavar="ADDR",
        help="join a running Ray cluster: host:port, or auto for one on this machine",
    )


def load(arguments: argparse.Namespace, *, here: bool = True) -> Experiment:
    """The experiment that the arguments describe."""
    from raynas import config

    overrides = [config.override(text) for text in arguments.override]
    return config.load(arguments.config, overrides, smoke=arguments.smoke, here=here)


def run_folder(storage: str, name: str) -> Folder:
    """Where a run of a name keeps its files.

    Args:
        storage: Where run directories go, a path or a URI.
        name: Of the run.
    """
    from raynas.storage import LocalFolder, folder

    place = folder(storage)
    if isinstance(place, LocalFolder):
        place = LocalFolder(place.path.expanduser())
    return place.child(name)
