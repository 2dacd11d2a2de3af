"""One search for every combination of a grid, all in one run: the same searcher under each setting.

So GeNAS's tables compare the architectures that the same evolution finds under each weight of flatness
(Jeong et al., IJCAI 2023, Tables 8 to 10). The searches know nothing of one another and draw alike, so that
they differ in what is swept alone; where ``seed`` is swept, each draws by its own.

A note on design choices: the searches take turns, and where one must see outcomes before it can go on, the
others wait with it. They reach that point together, so little time is lost, and proposals have the same
numbers whatever order outcomes arrive in.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Annotated, ClassVar

from raynas.errors import InputError
from raynas.lookup import Slot
from raynas.search.asktell import Outcome, Proposal, Report, Score, SearchContext, Searcher, SearcherSpec
from raynas.search.searcher.random_search import RandomSearch
from raynas.search.sweep import Listed, Range, Value
from raynas.spaces import SearchSpace

_SHARED = ("report", "search_space", "searcher", "scheduler", "batch", "tune")
"""Keys that all searches of a run have in common."""


@dataclass(frozen=True)
class ForEach:
    """Runs a base searcher for each combination of the experiment's ``sweep``; once where it names nothing.

    Attributes:
        base: Searches under one combination; each has all of its proposals.
    """

    takes_sweep: ClassVar[bool] = True

    base: Annotated[SearcherSpec, Slot("raynas.search.searcher")] = field(default_factory=RandomSearch)

    def __post_init__(self) -> None:
        if isinstance(self.base, ForEach):
            raise ValueError("base: one for_each sweeps all keys; give the inner one's base")
        if not getattr(self.base, "proposes_architectures", True):
            raise ValueError("base: proposes no architectures; give one that does, such as random_search")

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        of_base = getattr(self.base, "problems", None)
        if of_base is not None:
            yield from ((f"base.{name}", message) for name, message in of_base(space))

    def sweep_problems(self, ranges: Mapping[str, Range]) -> Iterator[tuple[str, str]]:
        """What it cannot do with the ranges of a sweep, as (field, message)."""
        for path, of in ranges.items():
            if not isinstance(of, Listed):
                yield "name", f"for_each needs lists, and {path} is an interval; give {path} a grid: [values]"
            if path.partition(".")[0] in _SHARED:
                yield (
                    "name",
                    f"the searches of for_each share one run, and {path} is the run's; start a run a value",
                )

    def n_combinations(self, ranges: Mapping[str, Range]) -> int:
        """Searches that it runs."""
        return math.prod(len(of.values) for of in ranges.values() if isinstance(of, Listed))

    def start(self, context: SearchContext) -> _ForEachSearcher:
        """All searches at their beginning.

        Raises:
            InputError: A sweep of an interval, or of what the searches share.
        """
        for _, message in self.sweep_problems(context.sweep):
            raise InputError(f"searcher: {message}")
        listed = {path: of.values for path, of in context.sweep.items() if isinstance(of, Listed)}
        combinations = [dict(zip(listed, values, strict=True)) for values in product(*listed.values())]
        return _ForEachSearcher([_Search(self.base, config, context) for config in combinations])


class _Search:
    """The search under one combination; its proposals have numbers of their own."""

    def __init__(self, base: SearcherSpec, config: Mapping[str, Value], context: SearchContext) -> None:
        seed = config.get("seed", context.seed)
        if not isinstance(seed, int):
            raise InputError(f"sweep: seed: {seed!r} is no integer; give whole numbers")
        self.searcher: Searcher = base.start(replace(context, seed=seed, sweep={}))
        self.config = config
        self.ids: dict[int, int] = {}  # of its proposals, in the run
        self.groups: dict[int, int] = {}
        self.missing: set[int] = set()


class _ForEachSearcher:
    def __init__(self, searches: list[_Search]) -> None:
        self._turns = deque(searches)
        self._made: list[tuple[_Search, int]] = []
        self._n_groups = 0

    def ask(self) -> Proposal | None:
        """See ``Searcher.ask``."""
        while self._turns:
            search = self._turns[0]
            proposed = search.searcher.ask()
            if proposed is not None:
                self._turns.rotate(-1)
                return self._renumbered(search, proposed)
            if search.missing:
                return None
            self._turns.popleft()
        return None

    def tell(self, proposal_id: int, outcome: Outcome) -> Score | None:
        """See ``Searcher.tell``.

        Raises:
            InputError: No such proposal was made.
        """
        if not 0 <= proposal_id < len(self._made):
            raise InputError(f"outcome for proposal {proposal_id}, but only {len(self._made)} were made")
        search, own_id = self._made[proposal_id]
        score = search.searcher.tell(own_id, outcome)
        search.missing.discard(own_id)
        return None if score is None else replace(score, proposal_id=search.ids[score.proposal_id])

    def hint(self, proposal_id: int, report: Report) -> None:
        """A trial has paused; a search that can be told so does not wait for it."""
        search, own_id = self._made[proposal_id]
        hint = getattr(search.searcher, "hint", None)
        if hint is not None:
            hint(own_id, report)
            search.missing.discard(own_id)

    def _renumbered(self, search: _Search, proposed: Proposal) -> Proposal:
        """A search's proposal as the run knows it."""
        id_ = len(self._made)
        self._made.append((search, proposed.id))
        search.ids[proposed.id] = id_
        search.missing.add(proposed.id)
        group = proposed.group
        if group is not None:
            if group not in search.groups:
                search.groups[group] = self._n_groups
                self._n_groups += 1
            group = search.groups[group]
        return replace(
            proposed,
            id=id_,
            config={**proposed.config, **search.config},
            group=group,
            reuses=None if proposed.reuses is None else search.ids[proposed.reuses],
        )
