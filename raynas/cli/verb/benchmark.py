"""Tables of trained architectures: what is in one, make one, turn other files into one, take one apart."""

from __future__ import annotations

import argparse

from raynas.cli.benchmark import building, exporting, importing, info

COMMANDS = {"info": info, "build": building, "import": importing, "export": exporting}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's commands, each with arguments of its own."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        summary = str(module.__doc__).splitlines()[0]
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(command=module.perform)


def perform(arguments: argparse.Namespace) -> int:
    """Does what the command does."""
    status: int = arguments.command(arguments)
    return status
