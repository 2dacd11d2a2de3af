"""The official files of NAS-Bench-201 (Dong and Yang, ICLR 2020), ``NAS-Bench-201-v1_0`` and ``v1_1``.

All datasets, splits, seeds and per-epoch curves, of both schedules (12 and 200 epochs), each architecture
interpreted by the ``nas-bench-201`` package. The file is a pickle, unpickled here and nowhere else, and
nothing that it names is run; see ``importer/_pickled.py``. Once it is in memory, each architecture is let go
as soon as it is converted, so that the conversion needs no more memory than the loading.

Departure: the package's own API loads the file by ``torch.load``, which since PyTorch 2.6 refuses NumPy's
scalars unless told to run what the file names, and it keeps all architectures at once.

CIFAR-10 is two datasets here, as there: ``cifar10_valid`` is trained on half of the training images and
validated on the other, ``cifar10`` is trained on all and has test results only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas.benchmarks.importer import _pickled, _trials
from raynas.benchmarks.importing import Progress
from raynas.benchmarks.schema import About
from raynas.benchmarks.writing import write
from raynas.errors import InputError
from raynas.spaces import get_space

_SCHEDULES = ("less", "full")  # 12 and 200 epochs


@dataclass(frozen=True)
class NasBench201:
    """Imports the benchmark's own file; it has no options."""

    def convert(self, source: Path, target: Path, *, progress: Progress | None = None) -> None:
        content = _pickled.load_torch(source)
        with _pickled.refused(source):
            if not isinstance(content, dict) or not isinstance(content.get("arch2infos"), dict):
                raise InputError(
                    f"{source}: not a file of NAS-Bench-201, which holds 'arch2infos'; due is "
                    "NAS-Bench-201-v1_0-e61699.pth or NAS-Bench-201-v1_1-096897.pth"
                )
            infos = content.pop("arch2infos")
            about = About(
                space=_trials.SPACE,
                built_by="raynas, importer nas_bench_201",
                source=f"{source.name}, {source.stat().st_size:,} bytes, NAS-Bench-201 (Dong and Yang, 2020)",
            )
            runs = _trials.gather(get_space(_trials.SPACE), _results(infos, progress))
            write(target, about, runs, extra=_trials.EXTRA)


def _results(infos: dict[int, Any], progress: Progress | None) -> Iterator[Any]:
    """``ArchResults`` of all architectures; the given dict is emptied on the way."""
    total = len(infos)
    for done, number in enumerate(sorted(infos), start=1):
        info = infos.pop(number)
        for schedule in _SCHEDULES:
            if (state := info.pop(schedule, None)) is not None:
                yield _trials.create(state)
        if progress is not None:
            progress(done, total)
