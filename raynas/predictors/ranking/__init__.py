"""The pairwise ranking predictor of RANK-NOSH; importing it does not load torch."""

from __future__ import annotations

from raynas.predictors.ranking.predictor import Encoder, FittedPredictor, Loss, RankingPredictor

__all__ = ["Encoder", "FittedPredictor", "Loss", "RankingPredictor"]
