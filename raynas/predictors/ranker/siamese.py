"""A Siamese scorer trained on pairs, over a graph network or an MLP (RANK-NOSH, Wang et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from raynas.predictors.ranking.predictor import RankingPredictor


@dataclass(frozen=True)
class Siamese(RankingPredictor):
    """The ranking predictor; see ``RankingPredictor`` for its fields."""
