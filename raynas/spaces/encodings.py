"""Integer encodings that other code writes: NASLib's and A2M's, and the genes of GeNAS and RLNAS.

All go by the names of operations, so that the order of a space's own list does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.spaces.architecture import ABSENT, Architecture
from raynas.spaces.loading import get_space
from raynas.spaces.repair import balanced
from raynas.spaces.space import SearchSpace

NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""NASLib's order of the operations of NAS-Bench-201."""

DARTS_IDS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""Operations by their id in A2M's matrices and in genes; 0 is an edge not used."""

_REAL_IDS = range(1, len(DARTS_IDS))
_INPUTS = 2


def to_naslib(a: Architecture) -> tuple[int, ...]:
    """NASLib's ``op_indices`` of a NAS-Bench-201 architecture: other ids, edges by source first."""
    space = get_space(a.space)
    ops = dict(zip(_naslib_edges(space), a.ops, strict=True))
    return tuple(_id(space, NASLIB_OPERATIONS, ops[edge]) for edge in sorted(ops))


def from_naslib(op_indices: Iterable[int], *, space: str = "nas_bench_201") -> Architecture:
    """The NAS-Bench-201 architecture of NASLib's ``op_indices``.

    Raises:
        InputError: They are not one id from 0 to 4 for each edge.
    """
    target = get_space(space)
    edges = _naslib_edges(target)
    given = list(op_indices)
    if len(given) != len(edges):
        raise InputError(f"NASLib gives one operation an edge, {len(edges)} in {space}; got {len(given)}")
    ids = dict(zip(sorted(edges), given, strict=True))
    return target.architecture(_op(target, NASLIB_OPERATIONS, ids[edge]) for edge in edges)


def to_a2m(a: Architecture) -> npt.NDArray[np.int8]:
    """A2M's matrices of a DARTS architecture (its Sec. 5).

    Returns:
        ``(2, 4, 5)``: cell (normal, reduce), intermediate node, predecessor; 0 where there is no edge, else
        the operation's place in ``DARTS_IDS``.
    """
    space = get_space(a.space)
    places = _places(space)
    matrices = np.zeros(_shape(places), dtype=np.int8)
    for place, op in zip(places, a.ops, strict=True):
        matrices[place] = _darts_id(space, op)
    return matrices


def from_a2m(matrices: npt.ArrayLike, *, space: str = "darts_s5") -> Architecture:
    """The DARTS architecture of A2M's matrices; see ``to_a2m``.

    Raises:
        InputError: The shape is wrong, a node has not two inputs, or an edge has an operation that it may not
            have.
    """
    target = get_space(space)
    given = np.asarray(matrices)
    places = _places(target)
    due = _shape(places)
    if given.shape != due:
        raise InputError(f"A2M's matrices of {space} have the shape {due}; got {given.shape}")
    allowed = np.zeros(due, dtype=bool)
    for place in places:
        allowed[place] = True
    if (given[~allowed] != 0).any():
        cell, node, source = np.argwhere((given != 0) & ~allowed)[0].tolist()
        raise InputError(
            f"matrix {cell}: row {node} cannot take an input from {source}, only from 0 to {node + 1}"
        )
    return target.architecture(_darts_op(target, int(given[place])) for place in places)


def to_genes(a: Architecture) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Genes of a DARTS architecture, normal and reduce (GeNAS, RLNAS): a place in ``DARTS_IDS`` an edge."""
    space = get_space(a.space)
    ids = [_darts_id(space, op) for op, _ in zip(a.ops, _places(space), strict=True)]
    half = len(ids) // 2
    return tuple(ids[:half]), tuple(ids[half:])


def from_genes(normal: Sequence[int], reduce: Sequence[int], *, space: str = "darts_s5") -> Architecture:
    """The DARTS architecture of two cells of genes; see ``to_genes``.

    Raises:
        InputError: A node has not exactly two genes other than 0, or an edge has an operation that it may not
            have.
    """
    target = get_space(space)
    due = len(_places(target)) // 2
    if len(normal) != due or len(reduce) != due:
        raise InputError(
            f"a cell of {space} has {due} genes; got {len(normal)} (normal) and {len(reduce)} (reduce)"
        )
    return target.architecture(_darts_op(target, gene) for gene in (*normal, *reduce))


def repair_genes(rng: np.random.Generator, genes: Sequence[int]) -> tuple[int, ...]:
    """Genes of one cell with exactly two inputs a node (``check_cand`` of GeNAS and RLNAS).

    Where a node has too many inputs, random ones are set to 0; where too few, random zeros get uniform
    operations. A valid cell comes back as it is, and nothing is drawn. Independent uniform genes become
    uniform valid cells.

    Args:
        rng: Where the randomness comes from.
        genes: For each edge of the cell its place in ``DARTS_IDS``.

    Raises:
        InputError: Their number is not 2 + 3 + ... + n.
    """
    repaired: list[int] = []
    n_edges = _INPUTS
    while len(repaired) < len(genes):
        node = genes[len(repaired) : len(repaired) + n_edges]
        if len(node) < n_edges:
            raise InputError(f"a cell has 2, 5, 9, 14, ... genes; got {len(genes)}")
        repaired += balanced(rng, node, [_REAL_IDS] * n_edges, n_used=_INPUTS, absent=0)
        n_edges += 1
    return tuple(repaired)


def _naslib_edges(space: SearchSpace) -> list[tuple[int, int]]:
    if space.kind != "nas_bench_201":
        raise InputError(
            f"NASLib's op_indices are for NAS-Bench-201, and {space.name} is a {space.kind} space"
        )
    return [(edge.source, edge.target) for edge in space.edges]


def _places(space: SearchSpace) -> list[tuple[int, int, int]]:
    """For each edge the cell, row and column of A2M's matrices."""
    if space.kind != "darts":
        raise InputError(f"this encoding is for the DARTS family, and {space.name} is a {space.kind} space")
    return [(int(edge.cell == "reduce"), edge.target - _INPUTS, edge.source) for edge in space.edges]


def _shape(places: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    rows = 1 + max(row for _, row, _ in places)
    return 2, rows, rows + 1


def _darts_id(space: SearchSpace, op: int) -> int:
    return 0 if op == ABSENT else _id(space, DARTS_IDS, op)


def _darts_op(space: SearchSpace, number: int) -> int:
    return ABSENT if number == 0 else _op(space, DARTS_IDS, number)


def _id(space: SearchSpace, names: Sequence[str], op: int) -> int:
    name = space.operations[op]
    if name not in names:
        raise InputError(f"'{name}' has no id in this encoding, which knows {', '.join(names)}")
    return names.index(name)


def _op(space: SearchSpace, names: Sequence[str], number: int) -> int:
    if not 0 <= number < len(names):
        raise InputError(f"operation id {number} must be from 0 to {len(names) - 1}")
    if names[number] not in space.operations:
        raise InputError(f"operation id {number} is {names[number]}, which {space.name} does not have")
    return space.operations.index(names[number])
