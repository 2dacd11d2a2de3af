"""Which room may import what, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import raynas

ROOT = Path(raynas.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
TORCH_ROOMS = {"supernets", "flatness", "differentiable", "oneshot", "predictors", "data", "workloads"}

# room: rooms that it may not import, since they stand above it
TOP = {"simulation", "analysis", "studies", "tune", "cli"}
ABOVE = {
    "spaces": {"benchmarks", "search", "workloads", "supernets", "data", "config", *TOP, "flatness"},
    "benchmarks": {"search", "workloads", "supernets", "data", "config", *TOP, "flatness"},
    "data": {"benchmarks", "search", "workloads", "supernets", "config", *TOP, "flatness", "spaces"},
    "supernets": {"benchmarks", "search", "workloads", "data", "config", *TOP, "flatness"},
    "flatness": {"benchmarks", "search", "workloads", "data", "config", *TOP, "supernets"},
    "predictors": {"benchmarks", "search", "workloads", "config", *TOP},
    "search": {"workloads", "supernets", "data", "config", *TOP},
    "workloads": {"config", *TOP},
    "config": {*TOP},
    "simulation": {"tune", "analysis", "studies", "cli"},
    "tune": {"studies", "cli"},
    "analysis": {
        "simulation",
        "tune",
        "cli",
        "search",
        "workloads",
        "supernets",
        "data",
        "config",
        "benchmarks",
    },
}


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_ray_torch_and_the_rooms_above_stay_where_they_belong(path):
    names = imported(path)
    roots = {name.partition(".")[0] for name in names}
    assert "ray" not in roots or room(path) == "tune"
    assert "torch" not in roots or room(path) in TORCH_ROOMS
    own = {name.split(".")[1] for name in names if name.startswith("raynas.") and name.count(".")}
    assert not own & ABOVE.get(room(path), set())


@pytest.mark.parametrize(
    "code",
    [
        "import raynas",
        "from raynas.cli import main; main(['list'])",
        "import raynas.search.run, raynas.spaces, raynas.journal, raynas.results",
        "import raynas.supernets.scaling, raynas.export",
        "from raynas.lookup import available, find\n"
        "for name in available('raynas.search.searcher'): find('raynas.search.searcher', name)",
        "from raynas.config import load; load('na_rs_digits')",
    ],
)
def test_neither_ray_nor_torch_is_loaded_before_it_is_needed(code):
    check = "\nimport sys; sys.exit(bool({'ray', 'torch', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code + check], stdout=subprocess.DEVNULL).returncode == 0
