"""Training of the ranking predictor's scorers, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from raynas import seeding
from raynas.errors import InputError
from raynas.predictors.ranking._scorer import GinScorer, MlpScorer, pair_loss
from raynas.predictors.ranking.graph import cell_graphs
from raynas.predictors.ranking.operations import one_hot
from raynas.predictors.ranking.pairs import PairSet
from raynas.predictors.ranking.predictor import Encoder, RankingPredictor
from raynas.spaces import Architecture, SearchSpace
from raynas.supernets.threads import threads

_AT_ONCE = 1024  # architectures scored together: their activations stay within a few MB

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Member:
    """One trained scorer of an ensemble.

    Attributes:
        scorer: In evaluation mode, its batch norms with the pool's statistics.
        mean: Of the pool's raw scores.
        std: Of the pool's raw scores.
    """

    scorer: nn.Module
    mean: float
    std: float


@dataclass(frozen=True, eq=False)
class FittedRanking:
    """The ``FittedPredictor`` of a pool; without members where the pool had no pair."""

    space: SearchSpace
    encoder: Encoder
    members: tuple[Member, ...]

    def score(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        with threads():
            raw = self._raw(architectures)
        standardised = [(row - m.mean) / m.std for row, m in zip(raw, self.members, strict=True)]
        return np.mean(standardised, axis=0) if standardised else np.zeros(len(architectures))

    def probability(self, a: Architecture, b: Architecture) -> float:
        raw = self._raw([a, b])
        # tanh is odd to the last bit, so that p(a, b) and p(b, a) add up to 1.
        return 0.5 + 0.5 * float(np.tanh((raw[:, 0] - raw[:, 1]) / 2).mean()) if len(raw) else 0.5

    def _raw(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        """``(n_members, n)`` raw scores."""
        raw = np.empty((len(self.members), len(architectures)))
        with torch.inference_mode():
            for first in range(0, len(architectures), _AT_ONCE):
                some = slice(first, first + _AT_ONCE)
                inputs = encode(self.encoder, self.space, architectures[some])
                for row, member in zip(raw, self.members, strict=True):
                    row[some] = member.scorer(*inputs).numpy()
        return raw


def encode(encoder: Encoder, space: SearchSpace, architectures: Sequence[Architecture]) -> Inputs:
    """What a scorer of that encoder is given."""
    if encoder == "gin":
        graphs = cell_graphs(space, architectures)
        return torch.from_numpy(graphs.features), torch.from_numpy(graphs.adjacency)
    return (torch.from_numpy(one_hot(space, architectures)),)


def fit(
    predictor: RankingPredictor,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    pairs: PairSet,
    *,
    seed: int,
) -> FittedRanking:
    """Trains every member on a pool; see ``RankingPredictor.fit``."""
    inputs = encode(predictor.encoder, space, architectures)
    n_members = predictor.ensemble if pairs.size else 0
    with threads():
        members = tuple(
            _train(predictor, inputs, pairs, seeding.derive(seed, "member", n)) for n in range(n_members)
        )
    return FittedRanking(space, predictor.encoder, members)


def _train(predictor: RankingPredictor, inputs: Inputs, pairs: PairSet, seed: int) -> Member:
    scorer = _scorer(predictor, inputs, torch.Generator().manual_seed(seeding.derive(seed, "weights")))
    optimizer = torch.optim.Adam(
        scorer.parameters(), lr=predictor.learning_rate, weight_decay=predictor.weight_decay
    )
    for winners, losers in _steps(predictor, pairs, seeding.generator(seed, "pairs")):
        scores = scorer(*inputs)
        loss = pair_loss(scores[winners] - scores[losers], predictor.loss, margin=predictor.margin)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        scorer(*inputs)  # batch norm keeps the pool's statistics under the final weights
        raw = scorer.eval()(*inputs).double()
    if not torch.isfinite(raw).all():
        raise InputError("the ranking predictor's scores are not finite; use a smaller learning_rate")
    return Member(scorer, float(raw.mean()), float(raw.std(correction=0)) or 1.0)


def _scorer(predictor: RankingPredictor, inputs: Inputs, generator: torch.Generator) -> nn.Module:
    n_features = inputs[0].shape[-1]
    if predictor.encoder == "mlp":
        return MlpScorer(n_features, hidden=predictor.hidden, generator=generator)
    return GinScorer(
        inputs[0].shape[1], n_features, hidden=predictor.hidden, layers=predictor.layers, generator=generator
    )


def _steps(
    predictor: RankingPredictor, pairs: PairSet, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Winners and losers of every step of a training."""
    for _ in range(predictor.epochs):
        epoch = torch.from_numpy(pairs.epoch(rng))
        for batch in torch.split(epoch, predictor.batch or len(epoch)):
            yield batch[:, 0], batch[:, 1]
