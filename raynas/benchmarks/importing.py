"""What an importer is: a frozen dataclass, whose fields are its options, with one method.

Importers of pickled files (``nas_bench_201``, ``nats_bench``) are the only place in ``benchmarks/`` where
anything is unpickled; ``importer/_pickled.py`` says how.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

IMPORTERS = "raynas.benchmarks.importer"
"""The slot of the importers, for ``raynas.lookup``."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many architectures are done, and of how many."""


class Importer(Protocol):
    """Turns files of one kind into tables."""

    def convert(self, source: Path, target: Path, *, progress: Progress | None = None) -> None:
        """Makes a table file.

        Args:
            source: What to read.
            target: The table file to make; one that exists is replaced when all is read.
            progress: Told now and then how far it is.

        Raises:
            InputError: The source is missing, broken, or of another kind.
        """
        ...
