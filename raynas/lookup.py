"""The file name is the registry: ``mean`` in ``raynas.flatness.aggregator`` is ``aggregator/mean.py``.

A slot is a package that holds components only. A component is the class whose name, in lower case, is the
name of its file without underscores (``random_search.py`` holds ``RandomSearch``). ``package.module:Class``
reaches any class of the user's own. Listing a slot reads its directory and imports none of its files.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas.assets import suggestion
from raynas.errors import InputError

_NOUNS = {"workloads": "workload", "studies": "study"}


@dataclass(frozen=True)
class Slot:
    """Marks a field as a component of a slot, as in ``Annotated[SearcherSpec,
    Slot("raynas.search.searcher")]``.

    Attributes:
        package: Dotted name of the package whose files fill the slot.
        many: The field takes a list of components.
    """

    package: str
    many: bool = False

    @property
    def noun(self) -> str:
        """What one component of the slot is called in messages."""
        last = self.package.rpartition(".")[2]
        return _NOUNS.get(last, last)


class UnknownComponentError(InputError):
    """No component of that name; the message names the closest and lists all."""


def available(slot: str) -> list[str]:
    """Sorted names of the components of a slot, read from its directory.

    Args:
        slot: Dotted name of the package, such as ``raynas.search.searcher``.
    """
    return sorted(_files(slot))


def source(slot: str, name: str) -> Path:
    """File of a component, found without importing it."""
    return _files(slot)[name]


def find(slot: str, name: str) -> type[Any]:
    """Class of a component.

    Args:
        slot: Dotted name of the package.
        name: A file of the slot, or ``package.module:Class``.

    Raises:
        UnknownComponentError: Nothing of that name, or its module cannot be imported.
    """
    if ":" in name:
        return _user_class(name)
    noun = Slot(slot).noun
    if name not in (choices := available(slot)):
        raise UnknownComponentError(
            f"unknown {noun} '{name}'{suggestion(name, choices)} Available: {', '.join(choices)}; "
            "or package.module:Class for one of your own"
        )
    try:
        module = importlib.import_module(f"{slot}.{name}")
    except (Exception, SystemExit) as error:
        raise UnknownComponentError(f"cannot import {slot}.{name}: {reason(error)}") from error
    wanted = name.replace("_", "")
    for attribute, value in vars(module).items():
        if isinstance(value, type) and attribute.lower() == wanted and value.__module__ == module.__name__:
            return value
    raise UnknownComponentError(f"{module.__name__} holds no class named like its file '{name}'")


def build(slot: str, name: str, **params: Any) -> Any:
    """A component made with the given hyperparameters.

    Args:
        slot: Dotted name of the package.
        name: A file of the slot, or ``package.module:Class``.
        params: The component's fields.
    """
    return find(slot, name)(**params)


def name_of(slot: str, component: object) -> str:
    """The name by which ``find`` gives the component's class: its file name, or ``package.module:Class``."""
    kind = type(component)
    package, _, module = kind.__module__.rpartition(".")
    return module if package == slot else f"{kind.__module__}:{kind.__qualname__}"


def reason(error: BaseException) -> str:
    """An exception that a user's class raised, in one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _files(slot: str) -> dict[str, Path]:
    found = importlib.util.find_spec(slot)
    if found is None or found.submodule_search_locations is None:
        raise InputError(f"{slot} is not a package of components")
    files = (path for place in found.submodule_search_locations for path in Path(place).glob("*.py"))
    return {path.stem: path for path in files if not path.stem.startswith("_")}


def _user_class(name: str) -> type[Any]:
    module_name, _, class_name = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # importing runs the user's code, which may raise anything
        raise UnknownComponentError(
            f"cannot reach '{name}': {reason(error)}; "
            "it must be package.module:Class, importable where raynas runs"
        ) from error
    if not isinstance(found, type):
        raise UnknownComponentError(f"'{name}' is not a class")
    return found
