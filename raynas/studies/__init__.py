"""Studies: a paper's experiments on a table, as one command. One file, one study.

A study is a frozen dataclass named like its file: its fields are the options of ``raynas study``, which its
docstring describes. Files with a leading underscore are parts of a study. At import a study loads neither
pandas, SciPy nor matplotlib, so that ``raynas --help`` may list it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from raynas.analysis.report import Report

STUDIES = "raynas.studies"

Progress: TypeAlias = Callable[[str], None]
"""Told now and then, in words, what is done."""


class Study(Protocol):
    """What ``raynas study`` runs."""

    @property
    def name(self) -> str:
        """Of the directory that its report goes to, unless the user names another."""

    def run(self, progress: Progress) -> Report:
        """Does all experiments. A study that takes long also takes ``pieces``, which keep what is done of it.

        Raises:
            InputError: The table is none that it can use; the message says why.
        """
