"""Search spaces by name, read from ``search_spaces/<name>.yaml`` or from a user's own file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from raynas import assets, lookup, yaml_document
from raynas.errors import ConfigError, InputError, Problem
from raynas.spaces.site import Edge
from raynas.spaces.space import KINDS, SearchSpace, Structure

_KEYS = ("kind", "nodes", "operations", "edges")
_MOST_NODES = 16
_MOST_OPERATIONS = 127  # ops_table is int8
_OPERATION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_EdgePath: TypeAlias = tuple[str, ...]

_loaded: dict[str, SearchSpace] = {}


def get_space(name: str) -> SearchSpace:
    """A search space; the same object whenever the same name is asked for.

    Args:
        name: A name in ``search_spaces/`` of the working directory or among the shipped ones, or the path of
            a YAML file. Architectures carry this name, so one file under two names is two spaces.

    Raises:
        InputError: There is no such file.
        ConfigError: The file does not describe a search space; all of what is wrong is in one report.
    """
    space = _loaded.get(name)
    if space is None:
        space = _loaded[name] = SearchSpace(name, read_structure(assets.find("search_spaces", name)))
    return space


def restore_space(name: str, structure: Structure) -> SearchSpace:
    """A search space that another process sent, known here by its name from now on, its file not needed."""
    space = _loaded.get(name)
    if space is not None and space.structure == structure:
        return space
    restored = SearchSpace(name, structure)
    return restored if space is not None else _loaded.setdefault(name, restored)


def read_structure(path: Path) -> Structure:
    """The structure that a YAML file describes.

    Its keys: ``kind``, a file of ``raynas/spaces/kind/``; ``nodes``, as that kind counts them;
    ``operations``, a list of names; and, where not every edge has all of them, ``edges``: every edge,
    ``2<-0``, with its list of names, under the name of its cell where there are several cells.

    Raises:
        ConfigError: Everything wrong with it.
    """
    reader = _Reader(yaml_document.load(path))
    structure = reader.structure()
    if structure is None or reader.problems:
        raise ConfigError(reader.problems)
    return structure


class _Reader:
    """Reads one document and collects what is wrong with it."""

    def __init__(self, document: yaml_document.Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def structure(self) -> Structure | None:
        data = self.document.data
        if not isinstance(data, dict):
            self._wrong((), f"a search space is a mapping with the keys {', '.join(_KEYS)}")
            return None
        for key in data:
            if key not in _KEYS:
                hint = assets.suggestion(str(key), list(_KEYS))
                self._wrong((str(key),), f"unknown key; known: {', '.join(_KEYS)}{hint}")
        for key in _KEYS[:3]:
            if key not in data:
                self._wrong((), f"the key '{key}' is missing")
        kind = self._kind(data["kind"]) if "kind" in data else None
        operations = self._operations(data["operations"]) if "operations" in data else None
        nodes = self._nodes(data["nodes"], kind) if "nodes" in data and kind else None
        if kind is None or operations is None or nodes is None:
            return None
        edges = self._edges(data.get("edges"), kind, kind.layout(nodes), operations)
        if self.problems:
            return None
        structure: Structure = kind(operations, edges)
        try:
            structure.sites()
        except InputError as error:
            self._wrong((), str(error))
        return structure

    def _kind(self, name: Any) -> Any:
        try:
            return lookup.find(KINDS, str(name))
        except lookup.UnknownComponentError as error:
            self._wrong(("kind",), str(error))
            return None

    def _nodes(self, nodes: Any, kind: Any) -> int | None:
        least = kind.least_nodes
        if type(nodes) is int and least <= nodes <= _MOST_NODES:
            return nodes
        self._wrong(("nodes",), f"{nodes!r} must be a whole number from {least} to {_MOST_NODES}")
        return None

    def _operations(self, operations: Any) -> tuple[str, ...] | None:
        if not isinstance(operations, list) or not 1 <= len(operations) <= _MOST_OPERATIONS:
            self._wrong(("operations",), f"must be a list of 1 to {_MOST_OPERATIONS} names of operations")
            return None
        before = len(self.problems)
        for position, name in enumerate(operations):
            if not isinstance(name, str) or not _OPERATION.fullmatch(name):
                self._wrong(("operations", position), f"{name!r} must be a name of letters, digits and '_'")
            elif name in operations[:position]:
                self._wrong(("operations", position), f"'{name}' is given twice")
        return tuple(operations) if len(self.problems) == before else None

    def _edges(
        self, lists: Any, kind: Any, layout: Sequence[tuple[str, int, int]], operations: tuple[str, ...]
    ) -> tuple[Edge, ...]:
        everywhere = lists is None
        given = {} if everywhere else self._edge_lists(lists, layout)
        edges: list[Edge] = []
        missing: dict[_EdgePath, list[str]] = {}
        for cell, target, source in layout:
            path = _edge_path(cell, target, source)
            if everywhere:
                indices = tuple(range(len(operations)))
            elif path in given:
                indices = self._indices(path, given[path], operations)
            else:
                missing.setdefault(path[:-1], []).append(path[-1])
                continue
            selectable = tuple(op for op in indices if operations[op] not in kind.never_selected)
            if indices and not selectable and not (everywhere and edges):  # said once if all edges are alike
                where = ("operations",) if everywhere else path
                self._wrong(where, "an architecture can choose no operation here; add one besides 'none'")
            edges.append(Edge(cell, target, source, indices, selectable))
        for path, names in missing.items():
            what = f"the edges {', '.join(names)} are missing"
            self._wrong(path, f"{what}; list all edges, or leave out 'edges' where each has all operations")
        return tuple(edges)

    def _indices(self, path: _EdgePath, names: Any, operations: tuple[str, ...]) -> tuple[int, ...]:
        if not isinstance(names, list) or not names:
            self._wrong(path, f"{names!r} must be a list of operations")
            return ()
        known = ", ".join(operations)
        for position, name in enumerate(names):
            if name not in operations:
                hint = assets.suggestion(str(name), list(operations))
                self._wrong((*path, position), f"unknown operation {name!r}; known: {known}{hint}")
            elif name in names[:position]:
                self._wrong((*path, position), f"'{name}' is given twice")
        return tuple(operations.index(name) for name in names if name in operations)

    def _edge_lists(self, lists: Any, layout: Sequence[tuple[str, int, int]]) -> dict[_EdgePath, Any]:
        """The ``edges`` entries by their paths; what is no edge is reported."""
        due = [_edge_path(*edge) for edge in layout]
        found: dict[_EdgePath, Any] = {}
        to_read: list[tuple[_EdgePath, Any]] = [(("edges",), lists)]
        while to_read:
            path, value = to_read.pop(0)
            if path in due:
                found[path] = value
            elif not (inner := _keys_below(path, due)):
                hint = assets.suggestion(path[-1], _keys_below(path[:-1], due))
                self._wrong(path, f"there is no such edge or cell{hint}")
            elif not isinstance(value, dict):
                self._wrong(path, f"must be a mapping with the keys {', '.join(inner)}")
            else:
                to_read.extend(((*path, str(key)), item) for key, item in value.items())
        return found

    def _wrong(self, path: tuple[str | int, ...], message: str) -> None:
        dotted = ".".join(map(str, path))
        self.problems.append(Problem(dotted, message, self.document.place(path)))


def _edge_path(cell: str, target: int, source: int) -> _EdgePath:
    return ("edges", *([cell] if cell else []), f"{target}<-{source}")


def _keys_below(path: _EdgePath, due: Sequence[_EdgePath]) -> list[str]:
    depth = len(path)
    return list(dict.fromkeys(edge[depth] for edge in due if edge[:depth] == path and len(edge) > depth))
