"""Fixed partitions: against the published indices, and their laws."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raynas.data import partition


def test_cifar10_halves_are_those_of_nas_bench_201():
    """Indices read in AutoDL's cifar-split.txt."""
    train, valid = partition.nas_bench_201(50_000)
    assert [train[i] for i in (0, 10, 111)] == [0, 26, 203]
    assert [valid[i] for i in (0, 10, 111)] == [1, 18, 242]
    assert len(train) == len(valid) == 25_000
    assert len({*train, *valid}) == 50_000


def test_the_draw_leaves_pythons_global_generator_alone():
    before = random.getstate()
    partition.nas_bench_201(10)
    assert random.getstate() == before


def test_first_and_last_halves_are_in_file_order():
    train, valid = partition.first_and_last(6)
    assert (train.tolist(), valid.tolist()) == ([0, 1, 2], [3, 4, 5])


@given(arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 4)))
def test_stratified_halves_share_every_class_and_lose_nothing(labels):
    first, second = partition.stratified_halves(labels)
    assert sorted([*first, *second]) == list(range(len(labels)))
    shares = [np.bincount(labels[half], minlength=5) for half in (first, second)]
    assert set((shares[1] - shares[0]).tolist()) <= {0, 1}


def test_stratified_halves_never_change():
    """A changed half would silently make old and new test accuracies different quantities."""
    first, _ = partition.stratified_halves(np.arange(40) % 2)
    assert first.tolist() == [1, 2, 3, 4, 5, 6, 7, 9, 11, 14, 15, 18, 20, 24, 28, 29, 30, 33, 36, 37]
