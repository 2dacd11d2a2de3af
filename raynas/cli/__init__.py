"""The command line: one file a verb, in ``raynas/cli/verb/``; a new file there is a new verb."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import raynas
from raynas.errors import RaynasError
from raynas.lookup import available

VERBS = "raynas.cli.verb"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: Arguments without the program's name; None: the process's own.

    Returns:
        Exit status: 0 done, 1 a failed run, 2 bad input, 130 interrupted.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # package.module:Class may lie in the working directory
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.perform(arguments)
        sys.stdout.flush()
    except RaynasError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `raynas list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="raynas", description="Flatness-aware neural architecture search on Ray Tune."
    )
    parser.add_argument("--version", action="version", version=f"raynas {raynas.__version__}")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in available(VERBS):
        module = importlib.import_module(f"{VERBS}.{name}")
        summary = str(module.__doc__).splitlines()[0]
        verb = verbs.add_parser(name.replace("_", "-"), help=summary, description=module.__doc__)
        module.add_arguments(verb)
        verb.set_defaults(perform=module.perform)
    return parser
