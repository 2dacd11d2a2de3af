"""Simple archives of NATS-Bench's topology space (Dong et al., TPAMI 2021), ``NATS-tss-...-simple``.

The folder of a downloaded and unpacked archive, one file an architecture. Each is a compressed pickle,
unpickled here and nowhere else, and nothing that it names is run; see ``importer/_pickled.py``. The
``nats_bench`` package is not needed: the trials in the files are those of NAS-Bench-201, and read alike.
"""

from __future__ import annotations

import bz2
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas.benchmarks.importer import _pickled, _trials
from raynas.benchmarks.importing import Progress
from raynas.benchmarks.schema import About
from raynas.benchmarks.writing import write
from raynas.errors import InputError
from raynas.spaces import get_space

_SUFFIX = ".pickle.pbz2"


@dataclass(frozen=True)
class NatsBench:
    """Imports a folder of NATS-Bench; it has no options."""

    def convert(self, source: Path, target: Path, *, progress: Progress | None = None) -> None:
        files = sorted(file for file in source.glob(f"*{_SUFFIX}") if file.name[: -len(_SUFFIX)].isdecimal())
        if not files:
            raise InputError(
                f"{source}: holds no files such as 000000{_SUFFIX}; due is the folder of an unpacked "
                "NATS-tss-...-simple.tar"
            )
        about = About(
            space=_trials.SPACE,
            built_by="raynas, importer nats_bench",
            source=f"{source.resolve().name}, {len(files):,} files, NATS-Bench (Dong et al., 2021)",
        )
        runs = _trials.gather(get_space(_trials.SPACE), _results(files, progress))
        with _pickled.refused(source):
            write(target, about, runs, extra=_trials.EXTRA)


def _results(files: Sequence[Path], progress: Progress | None) -> Iterator[Any]:
    """``ArchResults`` of all files, each with one or more schedules."""
    for done, path in enumerate(files, start=1):
        with _pickled.refused(path):
            with bz2.open(path) as file:
                schedules = _pickled.load(file)
            for schedule in sorted(schedules):
                yield _trials.create(schedules[schedule])
        if progress is not None:
            progress(done, len(files))
