"""YAML as raynas reads it: safe, no duplicate keys, ``1e-3`` a number, and the line of every value kept.

The syntax is YAML 1.1 with SafeLoader's types, less dates and the words yes, no, on and off, which stay
strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from raynas.errors import ConfigError, InputError, Problem

KeyPath = tuple[str | int, ...]

_FLOAT = re.compile(
    r"^[-+]?(\d[\d_]*(\.[\d_]*)?[eE][-+]?\d+|\d[\d_]*\.[\d_]*|\.\d[\d_]*([eE][-+]?\d+)?|\.inf|\.nan)$"
)
_BOOL = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")


class _Loader(yaml.SafeLoader):
    """SafeLoader with resolvers of its own for numbers and booleans."""


_REPLACED = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))


@dataclass(frozen=True)
class Document:
    """The content of one YAML file and where each value stands.

    Attributes:
        data: Plain Python: mappings, lists and scalars.
        source: The file as the user named it, for messages.
        lines: Line, from 1, of every key and list item, by its path.
    """

    data: Any
    source: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """Line of the value at a path, or of the nearest thing around it; 1 for the file as a whole."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def place(self, path: KeyPath) -> str:
        """``file:line`` of a path."""
        return f"{self.source}:{self.line(path)}"


def load(path: Path) -> Document:
    """Reads a YAML file.

    Raises:
        InputError: The file cannot be read.
        ConfigError: It is not YAML, or a mapping has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str) -> Document:
    """Reads YAML from a string; see ``load``.

    Args:
        text: The YAML.
        source: What to call it in messages.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[KeyPath, int] = {}
            problems = [] if node is None else list(_walk(node, (), source, lines))
            if problems:
                raise ConfigError(problems)
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        raise ConfigError([Problem("", f"not valid YAML: {error.problem}", place)]) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem("", f"not valid YAML: {error}", source)]) from error
    return Document(data, source, lines)


def parse_value(text: str) -> Any:
    """One value as it would read in a file: ``1e-3`` is a number, ``[1, 2]`` a list, ``a2m`` a string."""
    return parse(text, source=text).data


def _walk(node: yaml.Node, path: KeyPath, source: str, lines: dict[KeyPath, int]) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            inner = (*path, name)
            if name in seen:
                dotted = ".".join(map(str, inner))
                message = f"the key is given twice, first on line {seen[name]}; keep one"
                yield Problem(dotted, message, f"{source}:{line}")
            seen[name] = line
            lines[inner] = line
            yield from _walk(value, inner, source, lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*path, position)] = item.start_mark.line + 1
            yield from _walk(item, (*path, position), source, lines)
