"""Repair: genes that a draw or a crossover has put together become an architecture of the space.

It is the ``check_cand`` that GeNAS (Jeong et al., IJCAI 2023) and RLNAS (Zhang et al., CVPR 2021) apply to
every path that they train and every candidate that they score. Independent uniform genes become uniform
architectures wherever all edges of a node have equally many operations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raynas.errors import InputError
from raynas.spaces.architecture import ABSENT, Architecture
from raynas.spaces.space import SearchSpace


def repaired(rng: np.random.Generator, space: SearchSpace, genes: Sequence[int]) -> Architecture:
    """The architecture that some genes become when every site has as many edges as it must.

    A site that is in order stays as it is, and nothing is drawn for it. In the DARTS family a site is a node,
    of which two edges are used: six of the 14 edges of a cell are absent. In NAS-Bench-201 it is an edge,
    which always has an operation.

    Args:
        rng: Where the randomness comes from.
        space: Whose architecture.
        genes: One an edge, in the order of ``space.edges``: an index into the space's operations; ``ABSENT``,
            or an operation that no discrete architecture has (``none`` in ``darts``), for an edge not used.

    Raises:
        InputError: There are more or fewer genes than edges, or an edge cannot have its operation.
    """
    unused = {space.operations.index(name) for name in space.structure.never_selected & {*space.operations}}
    ops = [ABSENT if gene in unused else int(gene) for gene in genes]
    _check(space, ops)
    written: list[int] = []
    for site in space.sites:
        part = slice(len(written), len(written) + len(site.choices[0]))
        if tuple(ops[part]) in site.number_of:
            written += ops[part]
        else:
            n_used = sum(op != ABSENT for op in site.choices[0])
            operations = [edge.selectable for edge in space.edges[part]]
            written += balanced(rng, ops[part], operations, n_used=n_used, absent=ABSENT)
    return space.architecture(written)


def balanced(
    rng: np.random.Generator,
    genes: Sequence[int],
    operations: Sequence[Sequence[int]],
    *,
    n_used: int,
    absent: int,
) -> list[int]:
    """The genes of one node with a given number of edges in use.

    Where too many are, random ones are dropped; where too few, random others get uniform operations.

    Args:
        rng: Where the randomness comes from; untouched if there is nothing to change.
        genes: One an edge of the node.
        operations: For each edge those it may get.
        n_used: Edges to use.
        absent: The gene of an edge not used.
    """
    found = list(genes)
    used = [edge for edge, gene in enumerate(found) if gene != absent]
    unused = [edge for edge, gene in enumerate(found) if gene == absent]
    for edge in _some(rng, used, len(used) - n_used):
        found[edge] = absent
    for edge in _some(rng, unused, n_used - len(used)):
        found[edge] = operations[edge][int(rng.integers(len(operations[edge])))]
    return found


def _some(rng: np.random.Generator, items: list[int], count: int) -> list[int]:
    return rng.choice(items, count, replace=False).tolist() if count > 0 else []


def _check(space: SearchSpace, ops: Sequence[int]) -> None:
    if len(ops) != space.n_edges:
        raise InputError(f"{space.name} has {space.n_edges} edges, and {len(ops)} genes were given")
    for edge, op in zip(space.edges, ops, strict=True):
        if op != ABSENT and op not in edge.selectable:
            choices = ", ".join(f"{space.operations[i]} ({i})" for i in edge.selectable)
            raise InputError(f"edge {edge.name}: gene {op} is not among its operations: {choices}")
