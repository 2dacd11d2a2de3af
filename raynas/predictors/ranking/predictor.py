"""A ranking predictor trained on pairs of architectures (RANK-NOSH; arXiv 2108.08019).

A scorer maps an architecture to one number and is trained so that of each pair the better member scores
higher. Both members go through the same weights, hence Siamese: all that is learned is an order, so a pool
may hold results that only an order makes comparable, such as accuracies after different epochs.

The paper publishes neither code nor all constants. The encoder and the labels of pairs are the paper's; the
widths, the optimiser and the loss are chosen here, as ``RankingPredictor`` says.

A note on design choices: each step scores the whole pool once and then reads pairs off the scores, where the
usual Siamese step runs both members of each of its pairs. So a step costs the same with 256 pairs as with
all of them, and takes all by default: on a pool of 100, 200 steps of 4,950 pairs rank as well as 4,000 of
256, in a twentieth of the time. Batch norm then sees exactly the pool at every step, and its statistics stay
the pool's when other architectures are scored, so that no score depends on what else is scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.predictors.ranking.pairs import PairSet, dense_ranks
from raynas.spaces import Architecture, get_space

Encoder: TypeAlias = Literal["gin", "mlp"]
Loss: TypeAlias = Literal["logistic", "hinge"]


class FittedPredictor(Protocol):
    """What a pool has taught."""

    def score(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        """Scores by which architectures rank.

        Args:
            architectures: Of the pool's search space; in the pool or not.

        Returns:
            ``(n,)``, higher is better, in standard deviations of the pool's scores from their mean. All are
            0 where the pool had no pair to learn from.

        Raises:
            InputError: One of them is not of the pool's search space.
        """

    def probability(self, a: Architecture, b: Architecture) -> float:
        """How likely a is better than b, as the logistic loss models it; ``probability(b, a)`` is the rest.

        Raises:
            InputError: One of them is not of the pool's search space.
        """


@dataclass(frozen=True)
class RankingPredictor:
    """A Siamese scorer trained on pairs, from new weights at every fit.

    Attributes:
        encoder: ``gin`` reads the cells' graphs and learns what an operation is worth wherever it is, which
            suits small pools; ``mlp`` reads one-hot vectors and learns each edge's operations by themselves.
        loss: Of a pair; ``logistic`` is RankNet's, ``hinge`` asks for a difference of ``margin``.
        margin: Of the hinge loss, in units of the raw score.
        ensemble: Scorers, each from weights and shuffles of its own; the mean of their scores counts.
        epochs: Passes over the pairs.
        batch: Pairs a step; None for all of an epoch at once (RankNet's own stochastic steps would be 256).
        learning_rate: Of Adam.
        weight_decay: Of Adam, added to the gradient.
        hidden: Width of the layers; the last but one has half of it.
        layers: Layers of the graph network, so how far along the graph a node sees.
    """

    encoder: Encoder = "gin"
    loss: Loss = "logistic"
    margin: float = 0.1
    ensemble: int = 1
    epochs: int = 200
    batch: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    hidden: int = 128
    layers: int = 4

    def __post_init__(self) -> None:
        for field, least in (("ensemble", 1), ("epochs", 1), ("batch", 1), ("hidden", 2), ("layers", 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise ValueError(f"{field}: {value} is too small; give {least} or more")
        for field in ("margin", "learning_rate"):
            value = getattr(self, field)
            if not 0 < value < math.inf:
                raise ValueError(f"{field}: {value} must be a finite number above 0")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay: {self.weight_decay} must be a finite number of 0 or more")

    def fit(
        self,
        architectures: Sequence[Architecture],
        keys: Sequence[tuple[float, float]] | npt.NDArray[np.float64],
        *,
        seed: int,
    ) -> FittedPredictor:
        """Trains on a pool; the same pool and seed give the same scorer, and no global random state is used.

        Args:
            architectures: The pool, of one search space.
            keys: ``(level, value)`` of each. A higher level beats a lower one; within a level the higher
                value wins, so losses come negated. Equal keys are not compared.
            seed: Decides first weights and the order of pairs.

        Raises:
            InputError: The pool is empty or of several search spaces, the keys are not one for each, or
                training diverged.
        """
        if not architectures:
            raise InputError(
                "the pool is empty; a ranking predictor needs evaluated architectures to learn from"
            )
        if len(keys) != len(architectures):
            raise InputError(
                f"there are {len(architectures)} architectures and {len(keys)} keys; give one for each"
            )
        pairs = PairSet(dense_ranks(keys))
        from raynas.predictors.ranking._fitting import fit  # loads torch

        return fit(self, get_space(architectures[0].space), architectures, pairs, seed=seed)
