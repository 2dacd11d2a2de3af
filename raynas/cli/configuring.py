"""The arguments that name a configuration, shared by the verbs that take one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raynas.config import Experiment


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


def load(arguments: argparse.Namespace, *, here: bool = True) -> Experiment:
    """The experiment that the arguments describe."""
    from raynas import config

    overrides = [config.override(text) for text in arguments.override]
    return config.load(arguments.config, overrides, smoke=arguments.smoke, here=here)
