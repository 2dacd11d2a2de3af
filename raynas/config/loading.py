"""Configuration files: found by name or path, overridden from the command line, checked as a whole."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynas import assets
from raynas.benchmarks.table import is_path
from raynas.config.building import Builder
from raynas.config.checking import check
from raynas.config.experiment import Experiment
from raynas.config.plain import to_plain
from raynas.config.population import changed_ranges
from raynas.config.smoke import shrink
from raynas.errors import ConfigError, InputError, Problem
from raynas.search.sweep import Range, ranges
from raynas.yaml_document import Document, KeyPath, parse, parse_value
from raynas.yaml_document import load as load_yaml

_POSITION = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Override:
    """One value set on top of a file.

    Attributes:
        path: Keys from the outermost in; numbers reach into lists.
        value: As it would read in the file.
        text: How the user wrote it, for messages.
    """

    path: KeyPath
    value: Any
    text: str


def override(text: str) -> Override:
    """Reads ``key.path=value``.

    Raises:
        InputError: No such form, or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"-o {text}: write key.path=value, as in -o searcher.d=2")
    path = tuple(int(part) if _POSITION.fullmatch(part) else part for part in parts)
    return Override(path, parse_value(value, source=f"-o {text}"), f"-o {text}")


def load(
    name: str, overrides: Sequence[Override] = (), *, smoke: bool = False, here: bool = True
) -> Experiment:
    """The experiment of a configuration file.

    Args:
        name: A name from ``tune_configs/``, or a path.
        overrides: Values set on top of the file, in their order.
        smoke: Whether to shrink it to seconds.
        here: Whether the trials run on this machine, so that their files must be here.

    Raises:
        InputError: No such file.
        ConfigError: Everything that is wrong with it.
    """
    return _build(load_yaml(assets.find("tune_configs", name)), overrides, smoke=smoke, here=here)


def load_text(text: str, *, source: str, overrides: Sequence[Override] = (), here: bool = True) -> Experiment:
    """The experiment of a configuration given as text; see ``load``.

    Args:
        text: YAML.
        source: What to call it in messages.
        overrides: Values set on top of the text, in their order.
        here: Whether the trials run on this machine.
    """
    return _build(parse(text, source=source), overrides, smoke=False, here=here)


def with_values(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """An experiment with other values for some keys.

    Args:
        experiment: Left as it is.
        values: By dotted path.

    Raises:
        InputError: There is no such key.
        ConfigError: Everything that is wrong with the values.
    """
    if not values:
        return experiment
    data = to_plain(experiment)
    for path, value in values.items():
        _set(data, Override(override(f"{path}=").path, value, path))
    builder = Builder()
    made = builder.build(Experiment, data)
    if builder.problems:
        raise ConfigError([Problem(_dotted(path), message, "sweep") for path, message in builder.problems])
    assert isinstance(made, Experiment)
    return made


def _build(document: Document, overrides: Sequence[Override], *, smoke: bool, here: bool) -> Experiment:
    data = copy.deepcopy(document.data)
    if not isinstance(data, dict):
        fields = ", ".join(field.name for field in dataclasses.fields(Experiment))
        raise ConfigError([Problem("", f"holds no experiment; give a mapping of {fields}", document.source)])
    overrides = list(overrides)
    if smoke and isinstance(data.get("smoke"), dict):
        overrides[:0] = _smoke_overrides(data["smoke"])
    for at, item in enumerate(overrides):
        overrides[at] = _in_sweep(item, data.get("sweep"))
        _set(data, overrides[at])
    if isinstance(space := data.get("search_space"), str):
        with contextlib.suppress(InputError):  # of a file that is not there; check says so
            data["search_space"] = assets.from_anywhere("search_spaces", space)
    if isinstance(table := data.get("table"), str) and is_path(table):
        data["table"] = str(Path(table).absolute())
    if isinstance(supernet := data.get("supernet"), str) and "://" not in supernet:
        data["supernet"] = str(Path(supernet).absolute())
    builder = Builder()
    experiment = builder.build(Experiment, data)
    if not builder.problems:
        experiment = shrink(experiment) if smoke else experiment
        builder.problems.extend(check(experiment, here=here))
        builder.problems.extend(_sweep_problems(experiment, builder.problems))
    if builder.problems:
        found = sorted(builder.problems, key=lambda problem: document.line(problem[0]))
        raise ConfigError(
            [Problem(_dotted(path), message, _place(document, overrides, path)) for path, message in found]
        )
    assert isinstance(experiment, Experiment)
    return experiment


def _sweep_problems(
    experiment: Experiment, found: Sequence[tuple[KeyPath, str]]
) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with values that trials take and that is not wrong without them."""
    known, refused = {message for _, message in found}, {place for place, _ in found}
    taken: dict[KeyPath, Range] = {("sweep", path): of for path, of in ranges(experiment.sweep).items()}
    taken |= changed_ranges(experiment)
    for place, of in taken.items():
        path = str(place[-1])
        for value in () if place in refused else of.samples():
            try:
                swept = with_values(experiment, {path: value})
            except ConfigError as error:
                messages = [f"{problem.path}: {problem.message}" for problem in error.problems]
            except InputError as error:
                messages = [str(error)]
            else:
                messages = [message for _, message in check(swept, here=False) if message not in known]
            yield from ((place, f"{value}: {message}") for message in messages)


def _in_sweep(item: Override, sweep: Any) -> Override:
    """The keys of a sweep are dotted paths: what reads like several keys below it is one."""
    outermost, *rest = item.path
    if outermost != "sweep" or not rest:
        return item
    whole = len(rest) if isinstance(item.value, Mapping) else max(1, len(rest) - 1)  # a range is a mapping
    known = sweep if isinstance(sweep, Mapping) else {}
    n = next((n for n in range(len(rest), 0, -1) if _dotted(tuple(rest[:n])) in known), whole)
    return dataclasses.replace(item, path=("sweep", _dotted(tuple(rest[:n])), *rest[n:]))


def _set(data: dict[str, Any], item: Override) -> None:
    place: Any = data
    for at, part in enumerate(item.path):
        key: str | int = part if isinstance(place, list) else str(part)
        last = at == len(item.path) - 1
        if isinstance(place, list):
            if not isinstance(key, int) or key >= len(place):
                raise InputError(f"{item.text}: {_dotted(item.path[:at])} is a list of {len(place)}")
        elif not isinstance(place, dict):
            raise InputError(
                f"{item.text}: {_dotted(item.path[:at])} is a single value; nothing lies below it"
            )
        elif not last and isinstance(place.get(key), str):
            place[key] = {"name": place[key]}  # a component given by its name alone
        elif not last and place.get(key) is None:
            place[key] = {}
        if last:
            place[key] = item.value
        else:
            place = place[key]


def _place(document: Document, overrides: Sequence[Override], path: KeyPath) -> str:
    wanted = tuple(map(str, path))
    for item in reversed(overrides):
        given = tuple(map(str, item.path))
        if given[: len(wanted)] == wanted or wanted[: len(given)] == given:
            return item.text
    return document.place(path)


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _smoke_overrides(values: Mapping[str, Any]) -> list[Override]:
    return [Override(override(f"{key}=").path, value, f"smoke: {key}") for key, value in values.items()]
