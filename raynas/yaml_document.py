"""YAML as raynas reads it: safe, no duplicate keys, ``1e-3`` a number, and the line of every value kept.

The syntax is YAML 1.1 with SafeLoader's plain types. Dates, the words yes, no, on and off, and YAML 1.1's
``010`` (to the base of 8) and ``1:30`` (of 60) stay strings. Keys are strings. Anchors, aliases and tags are
refused: an experiment needs none, and a few lines of aliases can stand for more than memory holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from raynas.errors import ConfigError, InputError, Problem

KeyPath = tuple[str | int, ...]

_FLOAT = re.compile(
    r"^[-+]?(\d[\d_]*(\.[\d_]*)?[eE][-+]?\d+|\d[\d_]*\.[\d_]*|\.\d[\d_]*([eE][-+]?\d+)?|\.inf|\.nan)$",
    re.ASCII,
)
_INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0b[01][01_]*|0o[0-7][0-7_]*|0x[0-9a-fA-F][0-9a-fA-F_]*)$")
_BOOL = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")


_DEEPEST = 100
_LONGEST_NUMBER = 100


class _Loader(yaml.SafeLoader):
    """SafeLoader with resolvers of its own, and without anchors, aliases and tags."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        refused = ""
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            refused = "anchors and aliases (&x, *x) are not read; write the value out"
        elif event.tag is not None:
            refused = f"tags ({event.tag}) are not read; write the value plainly, a string in quotes"
        elif self.depth >= _DEEPEST:
            refused = f"nested too deeply; at most {_DEEPEST} levels are read"
        if refused:
            raise yaml.MarkedYAMLError(problem=refused, problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int:
        text = node.value.replace("_", "")
        if len(text) > _LONGEST_NUMBER:
            message = f"a number of {len(text)} digits; at most {_LONGEST_NUMBER} are read"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark)
        return int(text, 0)


_STRING = "tag:yaml.org,2002:str"
_KEPT = ("tag:yaml.org,2002:null",)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_number)


class _Dumper(yaml.SafeDumper):
    """Quotes what ``_Loader`` would not read as the same string."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_string(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar(_STRING, data, style=None if data.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_string)


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
        ConfigError: It is not YAML as raynas reads it, or a mapping has a key twice.
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
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # ValueError and OverflowError: an escape such as "\UFFFFFFFF" that is no character
        message = " ".join(str(error).split())
        raise ConfigError([Problem("", f"not valid YAML: {message}", source)]) from error
    return Document(data, source, lines)


def parse_value(text: str, *, source: str = "") -> Any:
    """One value as it would read in a file: ``1e-3`` is a number, ``[1, 2]`` a list, ``a2m`` a string.

    Args:
        text: The value.
        source: What to call it in messages; empty: by itself.
    """
    try:
        return parse(text, source=source).data
    except ConfigError as error:  # one value has no lines
        place = source or text
        raise ConfigError([replace(problem, place=place) for problem in error.problems]) from error


def dump(data: Any) -> str:
    """The text that ``parse`` reads as the same data.

    Raises:
        InputError: The data are more than mappings, lists and scalars.
    """
    try:
        return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise InputError(f"{message}; use numbers, strings, lists and mappings of them") from error


def _walk(node: yaml.Node, path: KeyPath, source: str, lines: dict[KeyPath, int]) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag != _STRING:
                what = f"the key {key.value or 'null'}" if isinstance(key, yaml.ScalarNode) else "a key"
                message = f"{what} is not a string; write a name, in quotes where it reads as another type"
                yield Problem(".".join(map(str, path)), message, f"{source}:{line}")
                continue
            name = key.value
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
