"""Architecture parameters as values: for each name a tensor, and arithmetic on all of them at once.

The parameters of a kind of cell, ``(edges, columns)`` logits, carry the kind's name; those of its edges,
``(edges,)`` (partial channels), the kind's name and ``/edges``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

Parameters: TypeAlias = Mapping[str, Tensor]

_EDGES = "/edges"


def edges_of(kind: str) -> str:
    """Name of the parameters of a kind's edges."""
    return f"{kind}{_EDGES}"


def logits(parameters: Parameters) -> dict[str, Tensor]:
    """Those of operations, by kind of cell."""
    return {name: tensor for name, tensor in parameters.items() if not name.endswith(_EDGES)}


def edge_logits(parameters: Parameters) -> dict[str, Tensor]:
    """Those of edges, by kind of cell."""
    return {name.removesuffix(_EDGES): tensor for name, tensor in parameters.items() if name.endswith(_EDGES)}


def mapped(function: Callable[..., Tensor], *trees: Parameters) -> dict[str, Tensor]:
    """A function of the tensors of the same name."""
    return {name: function(*(tree[name] for tree in trees)) for name in trees[0]}


def plus(a: Parameters, b: Parameters, *, times: float | Tensor = 1.0) -> dict[str, Tensor]:
    """``a + times * b``; ``a`` itself, bit for bit, where ``times`` is the number 0."""
    if isinstance(times, float | int) and times == 0:
        return dict(a)
    return {name: tensor + times * b[name] for name, tensor in a.items()}


def detached(parameters: Parameters) -> dict[str, Tensor]:
    """The same values, outside any graph."""
    return {name: tensor.detach() for name, tensor in parameters.items()}


def copied(parameters: Parameters) -> dict[str, Tensor]:
    """Copies outside any graph."""
    return {name: tensor.detach().clone() for name, tensor in parameters.items()}


def norm(parameters: Parameters) -> Tensor:
    """The L2 norm of all numbers together."""
    return torch.cat([tensor.flatten() for tensor in parameters.values()]).square().sum().sqrt()
