"""Macro skeletons: how a supernet puts the cells of a kind of search space together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raynas.lookup import available, build

SKELETONS = "raynas.supernets.skeleton"


def customary(skeleton: Any, kind: str) -> Any:
    """A skeleton, or where none was chosen the one that search spaces of a kind have by custom."""
    return build(SKELETONS, kind) if skeleton is None else skeleton


def skeleton_problems(skeleton: Any, kind: str) -> Iterator[tuple[str, str]]:
    """Why there is no skeleton for a kind of search space, as (field, message)."""
    if skeleton is None and kind not in available(SKELETONS):
        yield (
            "skeleton",
            f"there is none by custom for search spaces of kind '{kind}'; name one of "
            f"{', '.join(available(SKELETONS))}, or package.module:Class",
        )
