"""Many architectures: the same weights and batch for all, other ones in every repeat."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from raynas.data.dataset.digits import Digits
from raynas.data.device import resident
from raynas.lookup import UnknownComponentError
from raynas.predictors.scoring import score_architectures
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")
SMALL = {"channels": 4, "cells": 1, "stages": 1, "batch_size": 8}


@dataclass(frozen=True)
class Seen:
    """Scores a network by a number of its first weights and of the batch, and tells what it was given."""

    def score(self, network, images, labels, *, generator):
        assert torch.get_num_threads() == 1
        assert images.shape == (8, 1, 8, 8)
        train = resident(Digits(), "cpu").train
        there = train.normalized(train.images)
        for image, label in zip(images, labels, strict=True):
            same = (there == image).flatten(1).all(1)
            assert label in train.labels[same]
        drawn = float(torch.rand((), generator=generator))
        return float(network.stem[0].weight[0, 0, 0, 0].detach()) + 10 * float(images[0].sum()) + drawn


OWN = "own_proxies:Seen"


@pytest.fixture(autouse=True)
def own_proxies(monkeypatch):
    """A module of the user's own."""
    monkeypatch.setitem(sys.modules, "own_proxies", SimpleNamespace(Seen=Seen))


def scored(names, architectures, **options):
    return score_architectures(names, architectures, Digits(), **SMALL | options)


def test_all_architectures_share_weights_batch_and_draws_and_every_repeat_has_its_own():
    architectures = [SPACE.at(index) for index in (0, 777, 15624)]
    found = scored([OWN], architectures, repeats=3).scores[OWN]
    assert found.shape == (3, 3)
    assert (found == found[:, :1]).all()
    assert len(set(found[:, 0])) == 3


def test_an_architectures_score_does_not_hang_on_the_others_or_on_other_proxies():
    architectures = [SPACE.at(index) for index in (801, 1777, 9001, 15624)]
    names = ["zen", "params", "snip"]
    whole = scored(names, architectures, repeats=2)
    part = scored(["snip", "zen"], architectures[2:])
    for name in ("zen", "snip"):
        np.testing.assert_array_equal(part.scores[name], whole.scores[name][:1, 2:])
    assert all((whole.seconds[name] >= 0).all() for name in names)
    other = scored(names, architectures, seed=1)
    assert (other.scores["params"] == whole.scores["params"][0]).all()
    assert (other.scores["zen"] != whole.scores["zen"][0]).all()


def test_the_number_of_threads_is_put_back_and_progress_is_told():
    threads, told = torch.get_num_threads(), []
    scored(["params"], [SPACE.at(index) for index in range(20)], n_threads=2, progress=told.append)
    assert torch.get_num_threads() == threads
    assert told == [f"scored {n} of 20 networks" for n in range(2, 20, 2)]


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(UnknownComponentError, match="'nvot'; did you mean 'nwot'"):
        scored(["nvot"], [SPACE.at(0)])
    with pytest.raises(ValueError, match="repeats: 0"):
        scored(["params"], [SPACE.at(0)], repeats=0)
    with pytest.raises(ValueError, match="batch_size: 601"):
        scored(["params"], [SPACE.at(0)], batch_size=601)
