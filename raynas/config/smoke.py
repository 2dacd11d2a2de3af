"""``--smoke``: the same experiment, every part of it, at sizes that take seconds."""

from __future__ import annotations

import dataclasses
from typing import Any

from raynas.config.experiment import Experiment
from raynas.lookup import available
from raynas.spaces import get_space
from raynas.supernets.skeleton import SKELETONS, customary

# Counts have the same names in every component, so one table of ceilings serves all of them.
CEILINGS = {
    "n_proposals": 3,
    "n_nbr": 3,
    "n_initial": 2,
    "population_size": 4,
    "top_k": 2,
    "n_mutation": 1,
    "n_crossover": 1,
    "generations": 2,
    "epochs": 2,
    "warmup_epochs": 1,
    "tune_epochs": 1,
    "batch_size": 32,
    "eval_batch_size": 64,
    "max_batches": 4,
    "n_images": 128,
    "n_valid": 128,
    "channels": 4,
    "cells": 1,
    "layers": 3,
}


# Fields whose value may lie beyond a ceiling's; their None is what the ceilings leave of them.
DROPPED = frozenset({"stop_after"})


def shrink(experiment: Experiment) -> Experiment:
    """The experiment with every count at or below its ceiling.

    A count that is None becomes the ceiling; a skeleton that is None the customary one, so that it shrinks.
    """
    shrunk = _shrink(experiment, get_space(experiment.search_space).kind)
    assert isinstance(shrunk, Experiment)
    return shrunk


def _shrink(value: Any, kind: str) -> Any:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changed = {}
    for field in dataclasses.fields(value):
        old = getattr(value, field.name)
        ceiling = CEILINGS.get(field.name)
        if field.name in DROPPED:
            new = None
        elif field.name == "skeleton" and old is None and kind in available(SKELETONS):
            new = _shrink(customary(old, kind), kind)
        elif ceiling is None:
            new = _shrink(old, kind)
        else:
            new = ceiling if old is None else min(old, ceiling)
        if new is not old and new != old:
            changed[field.name] = new
    return dataclasses.replace(value, **changed) if changed else value
