"""States as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def copied(tree: Any) -> Any:
    """The same plain containers with copies of their tensors on the CPU."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True)
    if isinstance(tree, Mapping):
        return {key: copied(item) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(copied(item) for item in tree)
    return tree
