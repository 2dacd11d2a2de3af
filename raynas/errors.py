"""The errors raynas raises on purpose: each says where, what came, what was due and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RaynasError(Exception):
    """An expected failure; the command line prints its message without a traceback and exits with 1."""

    exit_status = 1


class InputError(RaynasError):
    """What the user gave cannot be used as it is; the command line exits with 2."""

    exit_status = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a file of the user's.

    Attributes:
        path: Dotted path of the offending key (``searcher.d``); empty for the file as a whole.
        message: What came, what was due, what to do.
        place: Where it stands, as ``file:line`` or the name of a command-line option.
    """

    path: str
    message: str
    place: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


class ConfigError(InputError):
    """Everything wrong with a configuration, in one report.

    Args:
        problems: At least one; printed one a line in the given order.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)
