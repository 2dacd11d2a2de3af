"""Tabular benchmarks: architectures trained once and looked up ever after.

``open_table("digits").query("valid_accuracy_pct", architectures, epoch=5)`` asks; ``writing`` makes files of
the format that ``schema`` describes, ``building`` makes them of runs and ``importer`` of other files,
``canonical`` says which cells are the same.
"""

from __future__ import annotations

from raynas.benchmarks.building import Built, build, seed_tau
from raynas.benchmarks.schema import METRICS, About, Metric, Part
from raynas.benchmarks.table import Description, Table, embedded, open_table
from raynas.benchmarks.writing import Runs, compact_losses, write
from raynas.spaces.canonical import CanonicalCell, benchmark_string, canonical_form, classes

__all__ = [
    "METRICS",
    "About",
    "Built",
    "CanonicalCell",
    "Description",
    "Metric",
    "Part",
    "Runs",
    "Table",
    "benchmark_string",
    "build",
    "canonical_form",
    "classes",
    "compact_losses",
    "embedded",
    "open_table",
    "seed_tau",
    "write",
]
