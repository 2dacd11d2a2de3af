"""Single paths: how many there are, how they are distributed, and what they leave out."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from raynas.oneshot.path import PathSampler, living, node_draws, path_of
from raynas.spaces import get_space
from raynas.spaces.architecture import ABSENT
from raynas.supernets.layout import Layout
from raynas.supernets.mixing import of_architecture
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

NB201, DARTS = get_space("nas_bench_201"), get_space("darts")
LAYOUT = Layout(NB201)
NODES = [(0,), (1, 2), (3, 4, 5)]
"""Rows of a NAS-Bench-201 cell by their target."""


def supernet(space, skeleton):
    return skeleton.supernet(space, in_channels=1, n_classes=3, generator=torch.Generator().manual_seed(0))


def columns(cells):
    assert (cells.sum(-1) == 1).all()
    return cells.argmax(-1)


def test_every_node_of_a_drawn_cell_has_an_input_and_there_are_11904_such_cells():
    legal = [
        ops for ops in product(range(5), repeat=6) if all(any(ops[row] for row in rows) for rows in NODES)
    ]
    assert len(legal) == 4 * 24 * 124 == 11_904
    drawn = {
        tuple(ops) for ops in columns(node_draws(LAYOUT, "", 150_000, np.random.default_rng(0))).tolist()
    }
    assert drawn == set(legal)


def test_draws_are_uniform_over_the_inputs_that_a_node_may_have():
    drawn = columns(node_draws(LAYOUT, "", 40_000, np.random.default_rng(1)))
    for rows in NODES:
        counts = Counter(map(tuple, drawn[:, rows].tolist()))
        assert len(counts) == 5 ** len(rows) - 1
        assert chisquare(list(counts.values())).pvalue > 1e-3
    # nodes are independent of one another
    pairs = Counter(map(tuple, drawn[:, [0, 1]].tolist()))
    first, second = (Counter(drawn[:, row].tolist()) for row in (0, 1))
    due = [first[a] * second[b] / len(drawn) for a, b in pairs]
    assert chisquare(list(pairs.values()), due).pvalue > 1e-3


def test_cells_draw_for_themselves_unless_they_share():
    n_cells = supernet(NB201, NasBench201(4, cells=2, stages=2)).n_cells
    own = PathSampler(LAYOUT, n_cells).draw(np.random.default_rng(0))
    assert own.weights[""].shape == own.alive[""].shape == (4, 6, 5)
    assert len({tuple(cell.ravel()) for cell in own.alive[""]}) > 1
    shared = PathSampler(LAYOUT, n_cells, share_across_cells=True).draw(np.random.default_rng(0))
    assert shared.weights[""].shape == shared.alive[""].shape == (6, 5)


def test_darts_draws_each_input_pair_and_operation_equally_often():
    layout = Layout(DARTS)
    sampler, rng = PathSampler(layout, {"normal": 2, "reduce": 2}), np.random.default_rng(0)
    drawn = [layout.architecture(sampler.draw(rng).alive) for _ in range(3_000)]
    last_node = Counter(tuple(op != ABSENT for op in a.ops[9:14]) for a in drawn)
    assert len(last_node) == 10
    assert chisquare(list(last_node.values())).pvalue > 1e-3
    operations = Counter(op for a in drawn for op in a.ops if op != ABSENT)
    assert len(operations) == 7
    assert chisquare(list(operations.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # node 1 leads nowhere, so what leads to it is left out
        ("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", [3]),
        # node 2 gets nothing, so what leaves it is left out
        ("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|", [0, 3, 4]),
        # no way leads through
        ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|", []),
        ("|avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|", [0, 1, 4, 5]),
    ],
)
def test_what_does_not_lead_from_the_input_to_the_output_is_left_out(text, rows):
    alive = path_of(LAYOUT, NB201.parse(text)).alive[""]
    assert np.flatnonzero(alive.any(1)).tolist() == rows


@pytest.mark.parametrize(
    ("space", "skeleton"), [(NB201, NasBench201(4, cells=1, stages=2)), (DARTS, Darts(4, layers=3))]
)
def test_a_path_computes_what_its_architecture_does(space, skeleton):
    network, rng = supernet(space, skeleton), np.random.default_rng(0)
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(10):
        architecture = space.sample(rng)
        with (
            torch.no_grad()
        ):  # in training mode, since statistics of (0, 1) let a norm make something of zeros
            whole = network(images, of_architecture(network.layout, architecture))
            path = network(images, path_of(network.layout, architecture))
        torch.testing.assert_close(path, whole, rtol=1e-5, atol=1e-6)


def test_in_darts_all_of_an_architecture_is_on_its_path():
    architecture = DARTS.sample(np.random.default_rng(0))
    whole = Layout(DARTS).alive_of(architecture)
    for kind, rows in living(Layout(DARTS), whole).items():
        assert (rows == whole[kind]).all()


def test_in_other_kinds_of_spaces_nothing_is_left_out():
    class Elsewhere:
        kind = "mine.spaces:Mine"

    class Other:
        space = Elsewhere()

    alive = {"": np.array([[False, True]])}
    assert living(Other(), alive) == alive
