"""Finds the YAML files that travel with the package: by name, by path, or in the working directory."""

from __future__ import annotations

import difflib
from pathlib import Path

from raynas.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def directory(kind: str) -> Path:
    """Directory of shipped files of one kind.

    Args:
        kind: ``search_spaces`` or ``tune_configs``.

    Returns:
        Inside the installed package, or beside it in a source checkout.

    Raises:
        InputError: The installation lacks the directory.
    """
    for candidate in (_PACKAGE / "_assets" / kind, _PACKAGE.parent / kind):
        if candidate.is_dir():
            return candidate
    raise InputError(f"this installation of raynas has no {kind}/; reinstall the package")


def names(kind: str) -> list[str]:
    """Names of all shipped files of a kind, sorted, without their suffix."""
    return sorted(path.stem for path in directory(kind).glob("*.yaml"))


def find(kind: str, name: str) -> Path:
    """Path of the file that a user means by a name.

    A name that ends in ``.yaml`` or ``.yml`` or has a slash is a path. Any other is looked up in
    ``<kind>/`` of the working directory first and among the shipped files second, so a user's own file may
    take a shipped name.

    Args:
        kind: ``search_spaces`` or ``tune_configs``.
        name: A name or a path.

    Raises:
        InputError: There is no such file; the message lists what there is.
    """
    if is_path(name):
        path = Path(name)
        if _is_file(path):
            return path
        raise InputError(f"{name}: no such file; give a YAML file's path, or one of the names {known(kind)}")
    for folder in (Path(kind), directory(kind)):
        path = folder / f"{name}.yaml"
        if _is_file(path):
            return path
    raise InputError(f"no {kind}/{name}.yaml{suggestion(name, names(kind))} Available: {known(kind)}")


def from_anywhere(kind: str, name: str) -> str:
    """What finds the same file from any working directory: a shipped name as it is, or an absolute path."""
    if is_path(name):
        return str(Path(name).absolute())
    path = find(kind, name)
    return name if path.resolve().parent == directory(kind).resolve() else str(path.absolute())


def is_path(name: str) -> bool:
    """Whether a name is meant as a path."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def known(kind: str) -> str:
    """All shipped names of a kind in one line."""
    return ", ".join(names(kind))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; give a file's name or path") from error


def suggestion(word: str, choices: list[str]) -> str:
    """Ends a sentence about a word: ``; did you mean 'x'?`` for the closest choice, or a full stop."""
    close = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean '{close[0]}'?" if close else "."
