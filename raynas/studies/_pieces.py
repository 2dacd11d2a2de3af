"""What is done of a study's work, kept on disk, so that a study that was interrupted goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from raynas import __version__
from raynas.errors import InputError

Task = TypeVar("Task")
Done = TypeVar("Done")


class Pieces:
    """Results of pieces of work, each found again by all that it was made from.

    Args:
        place: Directory for nothing else, made when the first is kept; None keeps nothing.
    """

    def __init__(self, place: Path | None = None) -> None:
        self._place = place

    @property
    def there(self) -> bool:
        """Whether anything is kept."""
        return self._place is not None and self._place.exists()

    def split(self, tasks: Sequence[Task], made: Callable[..., Done]) -> tuple[list[Done], list[Task]]:
        """What became of the tasks that are done, and the tasks that are not.

        Args:
            tasks: Values whose ``repr`` says all that their results hang on.
            made: Makes a result of its fields, sequences among which are lists.
        """
        if not self.there:
            return [], list(tasks)
        done, left = [], []
        for task in tasks:
            try:
                done.append(made(**json.loads(self._path(task).read_bytes())))
            except (OSError, ValueError, TypeError):
                left.append(task)  # not there, torn, or written by other code: done again
        return done, left

    def keep(self, task: Any, result: Any) -> None:
        """Keeps what became of a task.

        Args:
            task: Which.
            result: A dataclass of what JSON can hold.

        Raises:
            InputError: The directory cannot be written.
        """
        if self._place is None:
            return
        path = self._path(task)
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            torn = path.with_suffix(".part")
            torn.write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")
            torn.replace(path)
        except OSError as error:
            raise InputError(
                f"{self._place}: cannot be written: {error.strerror or error}; give another place by --out"
            ) from error

    def clear(self) -> None:
        """Forgets everything; for when the report is written."""
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)

    def _path(self, task: Any) -> Path:
        assert self._place is not None
        named = f"{__version__} {task!r}".encode()
        return self._place / f"{hashlib.sha256(named).hexdigest()[:32]}.json"


NOTHING_KEPT = Pieces()
