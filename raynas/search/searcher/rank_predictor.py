"""Predictor-based search (RANK-NOSH, Wang et al. 2021): a ranker learns from the pool and proposes the next.

The first batch is random. Before every later batch the predictor is fitted anew to all that is known, and the
best by its score among the architectures not yet proposed follow. With a scheduler that has a pool (``nosh``)
batches and levels are the scheduler's, and an architecture of a higher level is better than one of a lower,
whatever their readings. With any other scheduler each batch is waited for, and there is one level.

Level 0 (by option) holds architectures that a training-free proxy has scored and nobody has trained: any
trained one is better than any of them, and among them the proxy decides.

Departures: the paper does not say how many candidates are scored, nor which architectures make level 0; both
are options here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from raynas.errors import InputError
from raynas.lookup import Slot, available
from raynas.predictors.ranker.siamese import Siamese
from raynas.ranges import require_positive
from raynas.search.asktell import Failure, Outcome, Proposal, Score, SearchContext
from raynas.search.pool import Member, Pool
from raynas.seeding import derive
from raynas.spaces import Architecture, SearchSpace

ENUMERABLE = 100_000
SAMPLED = 10_000
PROXIES = "raynas.predictors.zero_cost"


@dataclass(frozen=True)
class Level0:
    """Architectures that a proxy scores without training.

    Attributes:
        dataset: Whose images the proxy sees.
        proxy: A file of ``raynas/predictors/zero_cost/``.
        per_proposal: Architectures scored for each one proposed, drawn from those that nobody has proposed.
        channels: Channels of the first stage of the networks that are scored.
        cells: Cells a stage.
        stages: Stages.
        batch_size: Images that the proxy sees.
    """

    dataset: Annotated[Any, Slot("raynas.data.dataset")]
    proxy: str = "synflow"
    per_proposal: int = 5
    channels: int = 16
    cells: int = 5
    stages: int = 3
    batch_size: int = 32

    def __post_init__(self) -> None:
        counts = ("per_proposal", "channels", "cells", "stages", "batch_size")
        require_positive(**{name: getattr(self, name) for name in counts})
        if ":" not in self.proxy and self.proxy not in (names := available(PROXIES)):
            raise ValueError(f"proxy: no proxy '{self.proxy}'; there are {', '.join(names)}")

    def scores(self, architectures: Sequence[Architecture], seed: int) -> list[float]:
        """The proxy's scores, higher is better."""
        from raynas.predictors.scoring import score_architectures  # loads torch

        found = score_architectures(
            [self.proxy],
            architectures,
            self.dataset,
            channels=self.channels,
            cells=self.cells,
            stages=self.stages,
            batch_size=self.batch_size,
            seed=seed,
        )
        scores: list[float] = found.scores[self.proxy][0].tolist()
        return scores


@dataclass(frozen=True)
class RankPredictor:
    """Proposes the best by a pairwise ranking predictor among what was not yet proposed.

    Attributes:
        predictor: Ranks architectures after it has seen some.
        n_proposals: Architectures proposed in all.
        n_first: Random architectures of the first batch; with ``nosh``, the scheduler's.
        n_batch: Architectures of later batches; with ``nosh``, the scheduler's.
        n_candidates: Architectures that the predictor chooses from, drawn anew for each batch; None: all,
            in a space of up to 100,000, and 10,000 in a larger one.
        epsilon: Share of each later batch that is random.
        level0: Architectures that a training-free proxy adds to the pool; None: none.
    """

    predictor: Annotated[Any, Slot("raynas.predictors.ranker")] = field(default_factory=Siamese)
    n_proposals: int = 100
    n_first: int = 20
    n_batch: int = 10
    n_candidates: int | None = None
    epsilon: float = 0.0
    level0: Level0 | None = None

    def __post_init__(self) -> None:
        require_positive(n_proposals=self.n_proposals, n_first=self.n_first, n_batch=self.n_batch)
        if self.n_candidates is not None:
            require_positive(n_candidates=self.n_candidates)
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon: {self.epsilon} is outside [0, 1]; give the share that is random")

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        if self.n_proposals > space.size:
            yield "n_proposals", f"{space.name} has {space.size:,} architectures only"
        if self.level0 is not None and space.kind != "nas_bench_201":
            yield (
                "level0",
                f"proxies score NAS-Bench-201 networks, and {space.name} is of kind '{space.kind}'",
            )

    def start(self, context: SearchContext) -> RankingSearch:
        """A search at its beginning."""
        return RankingSearch(self, context)


class RankingSearch:
    """A predictor-based search under way.

    Args:
        settings: Its hyperparameters.
        context: Space, objective and seed.
    """

    def __init__(self, settings: RankPredictor, context: SearchContext) -> None:
        self._settings, self._context = settings, context
        self._pool = Pool()
        self._shared = False
        self._proposed: dict[Architecture, int] = {}
        self._untold: dict[int, Architecture] = {}
        self._next: list[Architecture] = []
        self._batches: list[tuple[int, int]] = []  # proposals before each batch, and its size
        self._left = 0  # of the last of them
        self._unranked: dict[int, list[tuple[Architecture, float]]] = {}

    def share(self, pool: Pool) -> None:
        """Takes the scheduler's pool in place of its own."""
        self._pool, self._shared = pool, True

    def ask(self) -> Proposal | None:
        """See ``Searcher.ask``."""
        if not self._may_ask():
            return None
        if not self._next:
            # of a batch that was interrupted, the rest
            chosen = [one for one in self._chosen(len(self._batches) - 1) if one not in self._proposed]
            self._next = chosen[: self._left]
            if not self._next:
                return None
        return self._made(self._next.pop(0))

    def recall(self, architecture: str) -> Proposal:
        """The next proposal, as a journal has it: nothing is fitted for it.

        Args:
            architecture: In its space's notation.

        Raises:
            InputError: No proposal was due, or it is no architecture of the space.
        """
        if not self._may_ask():
            raise InputError(f"the journal's proposal of {architecture} was not due")
        return self._made(self._context.space.parse(architecture))

    def tell(self, proposal_id: int, outcome: Outcome) -> Score | None:
        """See ``Searcher.tell``; the first outcome of a proposal counts.

        Raises:
            InputError: No such proposal was made.
        """
        if not 0 <= proposal_id < len(self._proposed):
            raise InputError(f"outcome for proposal {proposal_id}, but only {len(self._proposed)} were made")
        architecture = self._untold.pop(proposal_id, None)
        if architecture is None:
            return None
        value = self._context.objective.value(outcome)
        if not self._shared:
            cost = float("inf") if value is None else self._context.objective.cost(value)
            self._pool.members[proposal_id] = Member(architecture, 1, cost, isinstance(outcome, Failure))
        failed = value is None
        return Score(proposal_id, architecture, value, n=int(not failed), n_failed=int(failed))

    def _may_ask(self) -> bool:
        """Whether a proposal is due; opens the next batch where one is."""
        if len(self._proposed) >= self._settings.n_proposals:
            return False
        if not self._left:
            if not self._shared and self._untold:
                return False
            self._left = min(self._batch_size(), self._settings.n_proposals - len(self._proposed))
            self._batches.append((len(self._proposed), self._left))
        return True

    def _batch_size(self) -> int:
        if self._shared:
            return self._pool.batch
        return self._settings.n_batch if self._proposed else self._settings.n_first

    def _made(self, architecture: Architecture) -> Proposal:
        key = len(self._proposed)
        self._proposed[architecture] = key
        self._untold[key] = architecture
        self._left -= 1
        return Proposal(id=key, architecture=architecture, group=key)

    def _chosen(self, batch: int) -> list[Architecture]:
        """A whole batch, by what was known when it began."""
        first, n = self._batches[batch]
        earlier = self._proposed_before(first)
        rng = self._context.generator("rank_predictor", batch)
        known = list(self._pool.ranked(before=first))
        if len({key for _, key in known}) < 2:
            scored = sorted(self._level0(batch), key=lambda item: -item[1])
            best = [architecture for architecture, _ in scored[:n]]
            return best + self._unseen(rng, n - len(best), {*earlier, *best})
        unranked = (item for number in range(batch + 1) for item in self._level0(number))
        known += [(one, (0, score)) for one, score in unranked if one not in earlier]
        fitted = self._settings.predictor.fit(
            [one for one, _ in known],
            [key for _, key in known],
            seed=derive(self._context.seed, "search", "rank_predictor", batch),
        )
        candidates = self._candidates(rng, earlier)
        order = np.argsort(-np.asarray(fitted.score(candidates)), kind="stable")
        n_random = round(self._settings.epsilon * n)
        best = [candidates[place] for place in order[: n - n_random].tolist()]
        return best + self._unseen(rng, n - len(best), {*earlier, *best})

    def _proposed_before(self, key: int) -> set[Architecture]:
        return {one for one, number in self._proposed.items() if number < key}

    def _candidates(self, rng: np.random.Generator, earlier: set[Architecture]) -> list[Architecture]:
        space, wanted = self._context.space, self._settings.n_candidates
        if space.size > ENUMERABLE or (wanted is not None and wanted < space.size - len(earlier)):
            return self._unseen(rng, wanted or SAMPLED, earlier)
        return [one for one in map(space.at, range(space.size)) if one not in earlier]

    def _unseen(self, rng: np.random.Generator, n: int, seen: set[Architecture]) -> list[Architecture]:
        """Up to ``n`` different architectures, drawn uniformly from all but the seen."""
        space, seen = self._context.space, set(seen)
        found: list[Architecture] = []
        n = min(n, space.size - len(seen))
        if space.size <= ENUMERABLE and n > space.size // 20:
            order = rng.permutation(space.size).tolist()
            return [one for one in map(space.at, order) if one not in seen][:n]
        while len(found) < n:
            one = space.sample(rng)
            if one not in seen:
                seen.add(one)
                found.append(one)
        return found

    def _level0(self, batch: int) -> list[tuple[Architecture, float]]:
        """The architectures that the proxy scored before a batch, with their scores."""
        level0 = self._settings.level0
        if level0 is None:
            return []
        if batch not in self._unranked:
            first, size = self._batches[batch]
            rng = self._context.generator("rank_predictor", "level0", batch)
            drawn = self._unseen(rng, level0.per_proposal * size, self._proposed_before(first))
            seed = derive(self._context.seed, "search", "rank_predictor", "proxy")
            self._unranked[batch] = list(zip(drawn, level0.scores(drawn, seed), strict=True))
        return self._unranked[batch]
