"""What a sweep varies: keys of the configuration by their dotted paths, and the values that each takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from raynas.assets import suggestion

Value: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Listed:
    """Some values.

    Attributes:
        values: At least one, all different.
    """

    values: tuple[Value, ...]

    def draw(self, rng: np.random.Generator) -> Value:
        """One of them, each as likely as the others."""
        return self.values[int(rng.integers(len(self.values)))]

    def samples(self) -> tuple[Value, ...]:
        """Values that stand for all, to be checked beforehand."""
        return self.values


@dataclass(frozen=True)
class Interval:
    """Numbers between two.

    Attributes:
        low: The least.
        high: The greatest.
        log: Whether their logarithms are drawn uniformly.
        whole: Whether they are integers.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, rng: np.random.Generator) -> Value:
        """A random one."""
        if self.whole:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        if self.log:
            return float(np.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return float(rng.uniform(self.low, self.high))

    def samples(self) -> tuple[Value, ...]:
        """Both ends."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


Range: TypeAlias = Listed | Interval

_FORMS = {
    "grid": "grid: [values]",
    "uniform": "uniform: [low, high]",
    "log_uniform": "log_uniform: [low, high]",
    "integers": "integers: [low, high]",
}


def ranges(sweep: Mapping[str, Any]) -> dict[str, Range]:
    """The ranges that a configuration's ``sweep`` describes.

    Args:
        sweep: For each dotted path ``{grid: [values]}``, ``{uniform: [low, high]}``, ``{log_uniform: [low,
            high]}`` or ``{integers: [low, high]}``.

    Raises:
        ValueError: Something else; the message begins with the path.
    """
    return {path: _range(path, given) for path, given in sweep.items()}


def _range(path: str, given: Any) -> Range:
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ValueError(f"{path}: {given!r} is no range; give one of {', '.join(_FORMS.values())}")
    ((form, values),) = given.items()
    if form not in _FORMS:
        raise ValueError(
            f"{path}: unknown range '{form}'{suggestion(str(form), list(_FORMS))} "
            f"Give one of {', '.join(_FORMS.values())}"
        )
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{path}: {values!r} is not a list; give {_FORMS[form]}")
    if not values:
        raise ValueError(f"{path}: the list is empty; give {_FORMS[form]}")
    if form == "grid":
        return _listed(path, values)
    if len(values) != 2 or not all(_is_number(value) for value in values):
        raise ValueError(f"{path}: {list(values)} are not two numbers; give {_FORMS[form]}")
    low, high = values
    if not low <= high or not math.isfinite(high - low):
        raise ValueError(f"{path}: {low} to {high} is no interval; give {_FORMS[form]}")
    if form == "log_uniform" and low <= 0:
        raise ValueError(f"{path}: {low} has no logarithm; give a positive one")
    if form == "integers" and not (float(low).is_integer() and float(high).is_integer()):
        raise ValueError(f"{path}: {low} and {high} are not both whole; give integers")
    return Interval(low, high, log=form == "log_uniform", whole=form == "integers")


def _listed(path: str, values: Sequence[Any]) -> Listed:
    for value in values:
        if value is not None and not isinstance(value, bool | int | float | str):
            raise ValueError(
                f"{path}: {value!r} is not a single value; sweep a key below it, such as {path}.name"
            )
    if len(set(map(repr, values))) < len(values):
        raise ValueError(f"{path}: {list(values)} holds a value twice; give each once")
    return Listed(tuple(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
