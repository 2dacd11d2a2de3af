"""Turn a file of another kind into a table: NAS-Bench-201, NATS-Bench, plain CSV or Parquet."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynas.cli import configuring

if TYPE_CHECKING:
    from raynas.benchmarks.importing import Importer

_UNPICKLING = {"nas_bench_201", "nats_bench"}
_EVERY_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a file, or a folder of nats_bench")
    parser.add_argument(
        "--format",
        required=True,
        metavar="FORMAT",
        help="what SOURCE is: columns, nas_bench_201, nats_bench, or package.module:Class of your own",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE.parquet", help="the table to write")
    configuring.add_overrides(
        parser,
        "set an option of the format, such as -o architecture=arch_str and "
        "-o metrics.cifar10/test_accuracy_pct=acc for columns",
    )


def perform(arguments: argparse.Namespace) -> int:
    """Converts, and says what is in the table."""
    from raynas.benchmarks import Table
    from raynas.errors import InputError

    if arguments.out.suffix != ".parquet":
        raise InputError(f"--out {arguments.out}: give a file's path that ends in .parquet")
    importer = _importer(arguments.format, arguments.override)
    if arguments.format in _UNPICKLING:
        print(
            f"warning: files of {arguments.format} are pickles, and {arguments.source} is unpickled now; "
            "nothing that it names is run, yet import files of known origin only",
            file=sys.stderr,
        )
    importer.convert(arguments.source, arguments.out, progress=_Told())
    print(f"{Table.open(arguments.out).describe()}\n{arguments.out.stat().st_size:,} bytes")
    return 0


def _importer(name: str, options: Sequence[str]) -> Importer:
    """The importer with its options.

    Raises:
        InputError: There is no such importer.
        ConfigError: Everything that is wrong with its options.
    """
    from raynas.benchmarks.importing import IMPORTERS
    from raynas.config import override
    from raynas.config.building import Builder
    from raynas.errors import ConfigError, InputError, Problem
    from raynas.lookup import find

    data: dict[str, Any] = {}
    for item in map(override, options):
        place = data
        for key in map(str, item.path[:-1]):
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise InputError(f"{item.text}: {key} is a single value; nothing lies below it")
        place[str(item.path[-1])] = item.value
    kind = find(IMPORTERS, name)
    if not is_dataclass(kind):
        raise InputError(f"--format {name}: it is not a dataclass, so its options are not known")
    builder = Builder()
    made: Importer | None = builder.build(kind, data)
    if made is None:
        where = f"--format {name}"
        raise ConfigError([Problem(".".join(map(str, path)), said, where) for path, said in builder.problems])
    return made


class _Told:
    """Prints how far an import is, now and then."""

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        at = time.monotonic()
        if at - self._printed >= _EVERY_S:
            self._printed = at
            print(f"{done:,} of {total:,}", flush=True)
