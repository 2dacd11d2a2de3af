"""A search space: a product of independent sites, with its metric, its neighbourhoods and its notation.

One mechanism serves all spaces. Hot calls (``sample``, ``index``, ``distance``, ``mutate``, ``sample_ball``)
look tables up and cost microseconds; none of them enumerates the space.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from raynas import lookup
from raynas.errors import InputError
from raynas.spaces import ball, paths, tables
from raynas.spaces.architecture import ABSENT, Architecture
from raynas.spaces.site import Choose, Edge, Site

Law: TypeAlias = Literal["uniform", "perturb_d"]
LAWS: tuple[Law, ...] = get_args(Law)

KINDS = "raynas.spaces.kind"


class Structure(Protocol):
    """What a kind of search space decides: its edges, the sites they form, its notation."""

    least_nodes: ClassVar[int]
    never_selected: ClassVar[frozenset[str]]

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of all operations."""

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, in the order of ``layout``."""

    @classmethod
    def layout(cls, nodes: int) -> tuple[tuple[str, int, int], ...]:
        """(cell, target, source) of every edge, in order."""

    def sites(self) -> tuple[Site, ...]:
        """The sites, which write the edges one after the other."""

    def format(self, ops: Sequence[int]) -> str:
        """The benchmark's notation."""

    def parse(self, text: str) -> tuple[int, ...]:
        """Operations of a text in that notation; raises InputError with the reason where it is not."""


class SearchSpace:
    """A search space, made by ``get_space``.

    Attributes:
        name: The name by which it was loaded; every ``Architecture`` of it carries this name.
        structure: Its edges and notation.
        operations: Names of its operations, which ``Architecture.ops`` indexes.
        edges: Its edges, in the order of ``Architecture.ops``.
        sites: The independent decisions of which it is the product.
        size: Number of architectures.
        n_edges: Length of ``Architecture.ops``.
    """

    def __init__(self, name: str, structure: Structure) -> None:
        self.name = name
        self.structure = structure
        self.operations = structure.operations
        self.edges = structure.edges
        self.n_edges = len(structure.edges)
        self.sites = structure.sites()
        self.size = math.prod(site.size for site in self.sites)
        ends = np.cumsum([len(site.choices[0]) for site in self.sites]).tolist()
        self._parts = [
            (slice(first, last), site.number_of)
            for first, last, site in zip([0, *ends[:-1]], ends, self.sites, strict=True)
        ]
        self._choices = [site.choices for site in self.sites]
        self._index = lru_cache(maxsize=1 << 16)(self._coded)
        self._format = lru_cache(maxsize=1 << 16)(self._written)

    def __repr__(self) -> str:
        return f"<SearchSpace {self.name}: {self.size:,} architectures, {self.n_edges} edges>"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        from raynas.spaces.loading import restore_space  # loading needs this module first

        return restore_space, (self.name, self.structure)

    @property
    def kind(self) -> str:
        """Name of its structure: ``nas_bench_201``, ``darts``, or a user's own ``package.module:Class``."""
        return lookup.name_of(KINDS, self.structure)

    # Architectures

    def architecture(self, ops: Iterable[int]) -> Architecture:
        """The architecture with the given operations, checked.

        Args:
            ops: One entry an edge, as in ``Architecture.ops``.

        Raises:
            InputError: It is not an architecture of this space; the message says where.
        """
        found = Architecture(self.name, tuple(map(operator.index, ops)))
        self._digits(found)
        return found

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A uniform draw from the whole space."""
        return self.at(ball.below(rng, self.size))

    def parse(self, text: str) -> Architecture:
        """The architecture that a text in the benchmark's own notation means; ``parse(str(a)) == a``.

        Raises:
            InputError: The text means none; the message says what is wrong and shows one that is right.
        """
        try:
            return self.architecture(self.structure.parse(text))
        except InputError as error:
            shown = text if len(text) <= 300 else f"{text[:300]}..."
            example = self.format(self.at(0))
            raise InputError(f"{self.name}: {error}; got {shown!r}, an example is {example!r}") from error

    def format(self, a: Architecture) -> str:
        """The benchmark's own notation, which is also ``str(a)``."""
        if a.space != self.name:
            raise InputError(self._what_is_wrong(a))
        return self._format(a.ops)

    def index(self, a: Architecture) -> int:
        """Number of an architecture, from 0 to ``size`` less 1.

        The code of its sites' choices in mixed radix, the first site leading: the base-5 code of ``ops`` in
        NAS-Bench-201 (not the position in the benchmark's own file).
        """
        if a.space != self.name:
            raise InputError(self._what_is_wrong(a))
        return self._index(a.ops)

    def at(self, index: int) -> Architecture:
        """The architecture with a number; see ``index``.

        Raises:
            InputError: The number is outside the space.
        """
        code = operator.index(index)
        if not 0 <= code < self.size:
            raise InputError(
                f"{self.name} has no architecture {code}; its indices run from 0 to {self.size - 1}"
            )
        written: tuple[int, ...] = ()
        for choices in reversed(self._choices):
            code, digit = divmod(code, len(choices))
            written = choices[digit] + written
        return Architecture(self.name, written)

    # Neighbourhoods

    def distance(self, a: Architecture, b: Architecture) -> int:
        """Changes between two architectures: edges in NAS-Bench-201, input slots in the DARTS family."""
        return sum(
            site.rows[i][j]
            for site, i, j in zip(self.sites, self._digits(a), self._digits(b), strict=True)
            if i != j
        )

    def neighbors(self, a: Architecture, radius: int = 1) -> list[Architecture]:
        """All architectures at exactly a distance, in the order of their index.

        Args:
            a: The centre.
            radius: The distance; 0 gives the centre itself.
        """
        _not_negative("radius", radius)
        return [self._from_digits(digits) for digits in paths.sphere(self.sites, self._digits(a), radius)]

    def sphere_size(self, a: Architecture, radius: int) -> int:
        """How many architectures are at exactly a distance; 24, 240, 1280 for 1, 2, 3 in NAS-Bench-201."""
        _not_negative("radius", radius)
        return self._spheres(self._digits(a)).size(radius)

    def ball_size(self, a: Architecture, d: int) -> int:
        """Number of architectures at a distance of at most d, a included: 25, 265, 1545 in NAS-Bench-201."""
        _not_negative("d", d)
        return self._spheres(self._digits(a)).ball_size(d)

    def sample_ball(
        self,
        rng: np.random.Generator,
        a: Architecture,
        d: int,
        n: int,
        *,
        law: Law = "uniform",
        center: bool = False,
    ) -> list[Architecture]:
        """Distinct neighbours of an architecture, drawn from its ball without replacement (Wang et al. 2021).

        Args:
            rng: Where the randomness comes from; untouched if there is nothing to draw.
            a: The centre, which is never drawn.
            d: Radius of the ball.
            n: Architectures to return.
            law: ``uniform`` over the ball less its centre; or ``perturb_d``, which redraws d random sites,
                each uniformly among its choices within distance 1, and so is not uniform.
            center: The centre is the first of the n, as in the paper's ``n_nbr``.

        Raises:
            InputError: The ball holds fewer.
        """
        if law not in LAWS:
            raise InputError(f"unknown law '{law}'; it is {' or '.join(LAWS)}")
        _not_negative("d", d)
        _not_negative("n", n)
        digits = self._digits(a)
        wanted = n - 1 if center and n else n
        spheres = self._spheres(digits, reach=None if law == "uniform" else 1)
        available = spheres.ball_size(d) - 1
        if wanted > available:
            raise InputError(
                f"{self.name}: {wanted:,} neighbours asked for, and law '{law}' reaches {available:,} within "
                f"d = {d}; use a larger d or fewer neighbours"
            )
        if wanted == 0:
            drawn: Iterable[Sequence[int]] = ()
        elif law == "uniform":
            ranks = ball.distinct_below(rng, available, wanted)
            drawn = (spheres.in_ball(self.sites, digits, rank) for rank in ranks)
        else:
            drawn = ball.perturbed(rng, self.sites, digits, d, wanted)
        return ([a] if center and n else []) + [self._from_digits(member) for member in drawn]

    def mutate(self, rng: np.random.Generator, a: Architecture) -> Architecture:
        """A uniform draw from the architectures at distance 1."""
        digits = self._digits(a)
        spheres = self._spheres(digits)
        if not (count := spheres.size(1)):
            raise InputError(f"{self.name} has one architecture only, so none to change it into")
        return self._from_digits(spheres.member(self.sites, digits, 1, ball.below(rng, count)))

    # Paths between architectures (A2M)

    def shortest_paths(self, a: Architecture, b: Architecture) -> Iterator[tuple[Architecture, ...]]:
        """All sequences of unit steps from a to b of the least length, both ends included.

        In NAS-Bench-201 there are D! of them at distance D. In the DARTS family there may be more: two slots
        that both change may pair up in two ways, and a step that would give a node the same predecessor twice
        is none.
        """
        for path in paths.shortest_paths(self.sites, self._digits(a), self._digits(b)):
            yield tuple(self._from_digits(digits) for digits in path)

    def levels(self, a: Architecture, b: Architecture) -> list[tuple[Architecture, ...]]:
        """The architectures on the shortest paths from a to b, each once.

        Returns:
            For r from 0 to the distance D, those at distance r from a and D - r from b, in the order of their
            index: C(D, r) of them in NAS-Bench-201. Level r is level D - r of the way back.
        """
        found = paths.levels(self.sites, self._digits(a), self._digits(b))
        return [tuple(self._from_digits(digits) for digits in level) for level in found]

    # Define-by-run optimisers

    def suggest(self, choose: Choose) -> Architecture:
        """An architecture built by asking for categorical values, as Optuna and its like give them.

        Args:
            choose: Answers ``(parameter name, choices)`` with one of the choices. NAS-Bench-201 asks for the
                operation of each edge (``edge_3<-1``); the DARTS family asks each node for its inputs
                (``normal_node_3_inputs``: ``0+2``), then for the operation of each (``normal_edge_3<-0``).
                What has only one answer is not asked. A parameter has the same choices whenever it is asked.

        Raises:
            InputError: An answer is not among the choices.
        """
        return self._from_digits([site.ask(choose) for site in self.sites])

    def decisions(self, a: Architecture) -> dict[str, str]:
        """The answers from which ``suggest`` builds an architecture, in the order of asking."""
        answers = (site.answers[digit] for site, digit in zip(self.sites, self._digits(a), strict=True))
        return dict(chain.from_iterable(answers))

    # Tables of the whole space

    def ops_table(self) -> npt.NDArray[np.int8]:
        """``(size, n_edges)`` ``Architecture.ops`` of every architecture, by index.

        Raises:
            InputError: The space is too large to enumerate.
        """
        return tables.ops_table(self.sites)

    def neighbor_indices(self, radius: int = 1) -> npt.NDArray[np.int32]:
        """``(size, count)`` indices of the architectures at exactly a distance from each, ascending in a row.

        Raises:
            InputError: The space is too large, or its architectures have different numbers of neighbours.
        """
        _not_negative("radius", radius)
        return tables.neighbor_indices(self.sites, radius)

    def _digits(self, a: Architecture) -> tuple[int, ...]:
        ops = a.ops
        try:
            digits = tuple([number_of[ops[part]] for part, number_of in self._parts])
        except KeyError:
            digits = ()
        if not digits or a.space != self.name or len(ops) != self.n_edges:
            raise InputError(self._what_is_wrong(a))
        return digits

    def _from_digits(self, digits: Sequence[int]) -> Architecture:
        written = [choices[digit] for choices, digit in zip(self._choices, digits, strict=True)]
        return Architecture(self.name, tuple(chain.from_iterable(written)))

    def _spheres(self, digits: Sequence[int], *, reach: int | None = None) -> ball.Spheres:
        counts = tuple([site.counts[digit] for site, digit in zip(self.sites, digits, strict=True)])
        return ball.spheres(counts if reach is None else tuple(of_site[: reach + 1] for of_site in counts))

    def _coded(self, ops: tuple[int, ...]) -> int:
        code = 0
        for digit, choices in zip(self._digits(Architecture(self.name, ops)), self._choices, strict=True):
            code = code * len(choices) + digit
        return code

    def _written(self, ops: tuple[int, ...]) -> str:
        self._digits(Architecture(self.name, ops))
        return self.structure.format(ops)

    def _what_is_wrong(self, a: Architecture) -> str:
        if a.space != self.name:
            return f"an architecture of {a.space} was given to {self.name}"
        if len(a.ops) != self.n_edges:
            return f"{self.name} has {self.n_edges} edges, and {len(a.ops)} operations were given"
        for edge, op in zip(self.edges, a.ops, strict=True):
            if op != ABSENT and op not in edge.selectable:
                known = 0 <= op < len(self.operations)
                name = f"'{self.operations[op]}'" if known else f"operation {op}"
                choices = ", ".join(f"{self.operations[i]} ({i})" for i in edge.selectable)
                return f"edge {edge.name}: {name} is not among its operations: {choices}"
        for (part, number_of), site in zip(self._parts, self.sites, strict=True):
            if a.ops[part] not in number_of:
                used = sum(op != ABSENT for op in a.ops[part])
                due = sum(op != ABSENT for op in site.choices[0])
                return f"{site.name}: {used} operations, must be {due}"
        raise AssertionError(f"{a!r} is an architecture of {self.name}")


def _not_negative(name: str, value: int) -> None:
    if value < 0:
        raise InputError(f"{name} is {value} and must be 0 or more")
