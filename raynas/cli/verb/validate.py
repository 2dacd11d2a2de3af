"""Check a configuration and print all that is wrong with it at once."""

from __future__ import annotations

import argparse

from raynas.cli import configuring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    configuring.add_config(parser)


def perform(arguments: argparse.Namespace) -> int:
    """Checks it; the problems are the error's message."""
    configuring.load(arguments)
    print(f"{arguments.config}: in order")
    return 0
