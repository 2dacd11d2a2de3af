"""Print a configuration with every default written out."""

from __future__ import annotations

import argparse

from raynas.cli import configuring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    configuring.add_config(parser)


def perform(arguments: argparse.Namespace) -> int:
    """Prints it as YAML."""
    from raynas.config import to_yaml

    print(to_yaml(configuring.load(arguments, here=False)), end="")
    return 0
