"""An experiment as plain data, every default written out; reading it back gives the same experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from raynas.config.building import slot_of
from raynas.config.experiment import Experiment
from raynas.lookup import Slot, name_of
from raynas.yaml_document import dump


def to_plain(experiment: Experiment) -> dict[str, Any]:
    """Mappings, lists, numbers and strings."""
    return _fields(experiment)


def to_yaml(experiment: Experiment) -> str:
    """The text of a configuration file."""
    return dump(to_plain(experiment))


def _fields(value: Any) -> dict[str, Any]:
    hints = get_type_hints(type(value), include_extras=True)
    return {
        field.name: _plain(getattr(value, field.name), slot_of(hints[field.name]))
        for field in dataclasses.fields(value)
        if field.init
    }


def _plain(value: Any, slot: Slot | None = None) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item, slot) for item in value]
    if slot is not None and value is not None:
        return {"name": name_of(slot.package, value), **_fields(value)}
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((_plain(item) for item in value), key=repr)  # so that one value has one text
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value
