"""Do a paper's experiments on a table and write a report."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
import time
import types
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

_REPORTS = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A command for each study, with an option for each of its fields."""
    from raynas.lookup import available, find
    from raynas.studies import STUDIES

    studies = parser.add_subparsers(metavar="STUDY", required=True)
    for name in available(STUDIES):
        kind = find(STUDIES, name)
        summary, meanings = _described(kind)
        study = studies.add_parser(name.replace("_", "-"), help=summary, description=summary)
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            _add_option(study, field, hints[field.name], meanings.get(field.name, ""))
        study.add_argument(
            "--out",
            type=Path,
            metavar="DIR",
            help=f"directory of the report (default: {_REPORTS}/, then the study's name and the table's)",
        )
        study.set_defaults(study=kind)


def perform(arguments: argparse.Namespace) -> int:
    """Runs the study and says which files it wrote."""
    from raynas.analysis import report
    from raynas.studies._pieces import Pieces

    kind = arguments.study
    study = kind(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(kind)})
    out = arguments.out or _REPORTS / study.name
    report.check_free(out)
    place = out.resolve()  # so that it has a name, also where it is the working directory
    pieces = Pieces(place.with_name(f"{place.name}.unfinished"))
    kept = {"pieces": pieces} if "pieces" in inspect.signature(study.run).parameters else {}
    started = time.monotonic()
    try:
        made = study.run(
            lambda what: print(f"[{time.monotonic() - started:5.1f} s] {what}", flush=True), **kept
        )
    except KeyboardInterrupt:
        if pieces.there:
            print("what is done is kept: the same command goes on with it", file=sys.stderr)
        raise
    files = report.write(made, out)
    pieces.clear()
    print(f"done in {time.monotonic() - started:.1f} s; written:")
    for path in files:
        print(f"  {path}")
    return 0


def _add_option(
    parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any, meaning: str
) -> None:
    kinds = [kind for kind in get_args(hint) if kind not in (types.NoneType, Ellipsis)] or [hint]
    several = get_origin(hint) is tuple
    given: Any = field.default
    default = " ".join(map(str, given)) if several else given
    shown = "" if default in (None, "") else f" (default: {default})"
    parser.add_argument(
        f"--{field.name.replace('_', '-')}",
        type=kinds[0],
        nargs="+" if several else None,
        action=_Values if several else "store",
        default=given,
        metavar=kinds[0].__name__.upper() if kinds[0] is not str else "NAME",
        help=(meaning[:1].lower() + meaning[1:]).rstrip(".").replace("%", "%%") + shown,
    )


class _Values(argparse.Action):
    """Several values of an option, as a tuple; those of an option that is given twice come together."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, (*(() if before is self.default else before), *values))


def _described(kind: type[Any]) -> tuple[str, dict[str, str]]:
    """A class's first line, and what its docstring says of each attribute."""
    summary, _, rest = (inspect.getdoc(kind) or "").partition("\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", rest, re.MULTILINE)
    return summary, {name: " ".join(meaning.split()) for name, meaning in found}
