"""The append-only journal of a run: one JSON line a fact, on disk before the fact takes effect.

On a disk it is one file, ``journal.jsonl``, locked by its writer. A line torn by a kill can only be the last;
it is dropped, since nothing had followed from it. On storage that cannot append, each append is a numbered
segment.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from raynas.errors import InputError
from raynas.storage import Folder, LocalFolder

FILE = "journal.jsonl"
SEGMENTS = "journal"

Record = Mapping[str, Any]


class Journal(Protocol):
    """Where a run's facts go."""

    def append(self, records: Iterable[Record]) -> None:
        """Adds facts; they are durable when this returns."""
        ...

    def close(self) -> None:
        """Lets another writer in."""
        ...


def read(folder: Folder) -> list[dict[str, Any]]:
    """All facts so far, oldest first; also while another process writes.

    Args:
        folder: The run's folder.

    Raises:
        InputError: There is no journal, or one that was damaged other than by a kill.
    """
    if isinstance(folder, LocalFolder):
        path = folder.path / FILE
        if not path.is_file():
            raise InputError(
                f"{folder.uri}: not a run directory: it has no {FILE}; give one that raynas run made"
            )
        return _parse(path.read_bytes(), str(path))
    segments = folder.child(SEGMENTS)
    if not (names := segments.names()):
        raise InputError(
            f"{folder.uri}: not a run directory: it has no {SEGMENTS}/; give one that raynas run made"
        )
    return [record for name in names for record in _parse(segments.read(name), f"{segments.uri}/{name}")]


def open_for_append(folder: Folder) -> Journal:
    """The journal of a run's folder, made if it is not there.

    Raises:
        InputError: Another process is writing to it.
    """
    if isinstance(folder, LocalFolder):
        return FileJournal(folder.path)
    return SegmentJournal(folder)


class MemoryJournal:
    """A journal that ends with its process, for simulations and for tests."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, records: Iterable[Record]) -> None:
        self.records.extend(map(dict, records))

    def close(self) -> None:
        """Nothing to let go of."""


class FileJournal:
    """A journal in one file of a local folder.

    Args:
        folder: The run's folder; made if it is not there.

    Raises:
        InputError: Another process holds the journal.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        self._file = self._path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InputError(
                f"{folder}: another process is running this; wait for it or end it, then try again"
            ) from error
        content = self._path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)

    def append(self, records: Iterable[Record]) -> None:
        if lines := b"".join(map(_line, records)):
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SegmentJournal:
    """A journal of numbered segments, for storage that cannot append.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._segments = folder.child(SEGMENTS)
        names = self._segments.names()
        self._next = int(names[-1].partition(".")[0]) + 1 if names else 1

    def append(self, records: Iterable[Record]) -> None:
        if lines := b"".join(map(_line, records)):
            self._segments.write(f"{self._next:010d}.jsonl", lines)
            self._next += 1

    def close(self) -> None:
        """Nothing to let go of."""


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _parse(content: bytes, source: str) -> list[dict[str, Any]]:
    lines = content.split(b"\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{source}:{number}: damaged: {error}; restore the file from a copy") from error
        if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
            raise InputError(
                f"{source}:{number}: no fact of a run: {line[:60]!r}; restore the file from a copy"
            )
        records.append(record)
    return records
