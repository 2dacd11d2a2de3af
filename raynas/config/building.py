"""Plain data into frozen dataclasses, by their type hints, with every problem found in one pass."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pydantic

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.lookup import Slot, find, reason
from raynas.yaml_document import KeyPath

_FAILED = object()
_METHODS = {
    "raynas.workloads": "start",
    "raynas.search.searcher": "start",
    "raynas.search.scheduler": "start",
    "raynas.data.dataset": "load",
    "raynas.flatness.aggregator": "__call__",
    "raynas.flatness.metric": "measure",
    "raynas.predictors.ranker": "fit",
    "raynas.supernets.skeleton": "supernet",
    "raynas.differentiable.relaxation": "theta",
    "raynas.differentiable.arch_gradient": "gradient",
    "raynas.differentiable.arch_regularizer": "penalty",
    "raynas.differentiable.mixing_perturbation": "perturbed",
    "raynas.differentiable.weight_regularizer": "gradients",
    "raynas.differentiable.mixed_op": "wrapped",
    "raynas.differentiable.decision": "narrowed",
    "raynas.differentiable.stopping": "stop",
}


class Builder:
    """Builds one object and gathers what is wrong with its data.

    Attributes:
        problems: What was found so far, each with the path of its value.
    """

    def __init__(self) -> None:
        self.problems: list[tuple[KeyPath, str]] = []

    def build(self, kind: type[Any], data: Any, path: KeyPath = ()) -> Any:
        """An instance of a dataclass; None where a problem was found.

        Args:
            kind: The dataclass; its fields are the keys.
            data: A mapping.
            path: Where the data stand, for messages.
        """
        made = self._dataclass(kind, data, path)
        return None if made is _FAILED else made

    def _dataclass(self, kind: type[Any], data: Any, path: KeyPath) -> Any:
        if not isinstance(data, Mapping):
            return self._refuse(path, f"{_show(data)} is not a mapping of {', '.join(_fields(kind))}")
        fields = _fields(kind)
        try:
            hints = get_type_hints(kind, include_extras=True)
        except Exception as error:
            return self._refuse(
                path,
                f"the type hints of {kind.__name__} cannot be resolved: {reason(error)}; "
                "import what they name at the top of its module",
            )
        before = len(self.problems)
        for key in data:
            if key not in fields:
                known = ", ".join(fields) or "no keys at all"
                near = suggestion(str(key), list(fields))
                self._refuse((*path, key), f"unknown key{near} It takes {known}")
        values = {
            name: made
            for name in fields
            if name in data and (made := self._value(hints[name], data[name], (*path, name))) is not _FAILED
        }
        required = [name for name, field in fields.items() if not _has_default(field)]
        for name in required:
            if name not in data:
                self._refuse((*path, name), "is missing; it has no default")
        while all(name in values for name in required):
            try:
                made = kind(**values)
            except (ValueError, InputError) as error:
                name = self._blame(path, fields, str(error) or reason(error))
                if name not in values:
                    break
                del values[name]  # so that the next turn finds what else is out of range
            except Exception as error:
                return self._refuse(path, f"{kind.__name__} does not take these options: {reason(error)}")
            else:
                return made if len(self.problems) == before else _FAILED
        return _FAILED

    def _value(self, hint: Any, data: Any, path: KeyPath) -> Any:
        slot = slot_of(hint)
        if slot is not None:
            if data is None and _optional(hint):
                return None
            return self._components(slot, data, path) if slot.many else self._component(slot, data, path)
        kind = _dataclass_of(hint)
        if kind is not None and not (data is None and _optional(hint)):
            return self._dataclass(kind, data, path)
        if len(kinds := _dataclasses_of(hint)) > 1 and not (data is None and _optional(hint)):
            return self._one_of(kinds, hint, data, path)
        return self._plain(hint, data, path)

    def _one_of(self, kinds: list[type[Any]], hint: Any, data: Any, path: KeyPath) -> Any:
        """One of several dataclasses, told apart by their keys, or a plain value."""
        if not isinstance(data, Mapping):
            rest = tuple(part for part in get_args(hint) if part not in kinds)
            return self._plain(Union[rest], data, path)  # noqa: UP007 - its parts are known at run time only
        chosen = next((kind for kind in kinds if set(data) & set(_fields(kind))), None)
        if chosen is not None:
            return self._dataclass(chosen, data, path)
        keys = [key for kind in kinds for key in _fields(kind)]
        near = suggestion(str(next(iter(data), "")), keys)
        return self._refuse(
            path, f"{_show(dict(data))} has no key that is known{near} Give {', '.join(keys)}"
        )

    def _components(self, slot: Slot, data: Any, path: KeyPath) -> Any:
        if not isinstance(data, list):
            return self._refuse(path, f"{_show(data)} is not a list; write [{data}] for one {slot.noun}")
        made = tuple(self._component(slot, item, (*path, at)) for at, item in enumerate(data))
        return _FAILED if _FAILED in made else made

    def _component(self, slot: Slot, data: Any, path: KeyPath) -> Any:
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
            return self._refuse(
                path, f"{_show(data)} is not a {slot.noun}; write its name, or {{name: ..., its options}}"
            )
        try:
            kind = find(slot.package, data["name"])
        except InputError as error:
            return self._refuse(path, str(error))
        if not dataclasses.is_dataclass(kind):
            return self._refuse(path, f"{data['name']} is not a dataclass, so its options are not known")
        if "name" in _fields(kind):
            return self._refuse(
                path, f"{data['name']} has a field 'name', which here names the component; rename the field"
            )
        method = _METHODS.get(slot.package)
        if method is not None and not _has_method(kind, method):
            return self._refuse(
                path, f"{data['name']} is not a {slot.noun}: it has no method {method}; give it one"
            )
        return self._dataclass(kind, {key: value for key, value in data.items() if key != "name"}, path)

    def _plain(self, hint: Any, data: Any, path: KeyPath) -> Any:
        if hint is Path:
            return Path(data).absolute() if isinstance(data, str) else self._refuse(path, "give a path")
        try:
            # JSON's strict mode takes a list for a tuple and an int for a float, but no "5" and no true for 5
            return pydantic.TypeAdapter(hint).validate_json(json.dumps(data), strict=True)
        except pydantic.ValidationError as error:
            for issue in error.errors():
                inner = tuple(part for part in issue["loc"] if _in(data, part))
                self._refuse((*path, *inner), f"{_show(issue['input'])}: {_lower(issue['msg'])}")
            return _FAILED
        except (TypeError, ValueError):
            return self._refuse(path, f"{_show(data)} is not a value that YAML and JSON share")
        except pydantic.PydanticUserError:
            return self._refuse(
                path,
                f"no value can be read as {hint}; use bool, int, float, str, or tuples and mappings of them",
            )
        except Exception as error:  # of a type with checks of its own
            return self._refuse(path, f"{_show(data)} cannot be read as {hint}: {reason(error)}")

    def _blame(self, path: KeyPath, fields: Mapping[str, Any], message: str) -> str:
        """Refuses the field that a component's own check complains of; gives its name."""
        name, colon, rest = message.partition(": ")
        if colon and name in fields:
            self._refuse((*path, name), rest)
            return name
        self._refuse(path, message)
        return ""

    def _refuse(self, path: KeyPath, message: str) -> Any:
        self.problems.append((path, message))
        return _FAILED


def _fields(kind: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    return {entry.name: entry for entry in dataclasses.fields(kind) if entry.init}


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _has_method(kind: type[Any], name: str) -> bool:
    # getattr would give every class a __call__, that of its metaclass
    found = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    return callable(found) or isinstance(found, classmethod)


def slot_of(hint: Any) -> Slot | None:
    """The slot that a type hint names; None for a plain value."""
    if get_origin(hint) is Annotated:
        return next((extra for extra in get_args(hint)[1:] if isinstance(extra, Slot)), None)
    if get_origin(hint) in (Union, types.UnionType):
        return next((slot for part in get_args(hint) if (slot := slot_of(part)) is not None), None)
    return None


def _dataclass_of(hint: Any) -> type[Any] | None:
    """The dataclass that a hint names, by itself or as ``Kind | None``."""
    parts = [part for part in get_args(hint) if part is not type(None)] if _optional(hint) else [hint]
    kind = parts[0] if len(parts) == 1 else None
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


def _dataclasses_of(hint: Any) -> list[type[Any]]:
    """The dataclasses that a union names beside others."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return [part for part in parts if isinstance(part, type) and dataclasses.is_dataclass(part)]


def _optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _in(data: Any, part: int | str) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
