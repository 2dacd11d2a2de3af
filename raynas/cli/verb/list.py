"""List what there is: configurations, spaces, searchers, ..."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

from raynas.differentiable.method import SLOTS as METHOD_SLOTS

SLOTS = {
    "workloads": "raynas.workloads",
    "searchers": "raynas.search.searcher",
    "schedulers": "raynas.search.scheduler",
    "metrics": "raynas.flatness.metric",
    "aggregators": "raynas.flatness.aggregator",
    "datasets": "raynas.data.dataset",
    "proxies": "raynas.predictors.zero_cost",
    "rankers": "raynas.predictors.ranker",
    "studies": "raynas.studies",
    "skeletons": "raynas.supernets.skeleton",
    **{name: slot.package for name, slot in METHOD_SLOTS.items()},
}
FILES = {"configs": "tune_configs", "spaces": "search_spaces"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("kind", nargs="?", choices=[*FILES, *SLOTS], help="only these (default: all)")


def perform(arguments: argparse.Namespace) -> int:
    """Prints each name with its file's first line."""
    kinds = [arguments.kind] if arguments.kind else [*FILES, *SLOTS]
    for kind in kinds:
        if len(kinds) > 1:
            print(f"{kind}:")
        for name, summary in _entries(kind):
            print(f"  {name:<24} {summary}")
    return 0


def _entries(kind: str) -> list[tuple[str, str]]:
    from raynas import assets
    from raynas.lookup import available, source

    if kind in FILES:
        folder = assets.directory(FILES[kind])
        return [(name, _comment(folder / f"{name}.yaml")) for name in assets.names(FILES[kind])]
    return [(name, _docstring(source(SLOTS[kind], name))) for name in available(SLOTS[kind])]


def _comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").removeprefix(f"{path.parent.name}/{path.name}").lstrip(": ")


def _docstring(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
