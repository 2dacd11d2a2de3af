"""Scorers and pair losses: identities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from raynas.predictors.ranking._scorer import GinScorer, MlpScorer, pair_loss
from raynas.predictors.ranking.graph import cell_graphs
from raynas.spaces import get_space


@pytest.fixture(params=["nas_bench_201", "darts"])
def graphs(request):
    space, rng = get_space(request.param), np.random.default_rng(3)
    found = cell_graphs(space, [space.sample(rng) for _ in range(12)])
    return torch.from_numpy(found.features).double(), torch.from_numpy(found.adjacency).double()


def gin(features):
    generator = torch.Generator().manual_seed(5)
    scorer = GinScorer(features.shape[1], features.shape[-1], hidden=32, layers=3, generator=generator)
    with torch.no_grad():
        for layer in scorer.layers:
            layer.eps.fill_(0.3)
    return scorer.double()


@pytest.mark.parametrize("training", [True, False])
def test_relabelling_the_nodes_with_their_links_changes_no_score(graphs, training):
    features, adjacency = graphs
    scorer = gin(features)
    scorer(features, adjacency)
    scorer.train(training)
    order = torch.randperm(features.shape[2], generator=torch.Generator().manual_seed(0))
    relabelled = scorer(features[:, :, order], adjacency[:, :, order][..., order])
    torch.testing.assert_close(relabelled, scorer(features, adjacency), rtol=0, atol=1e-12)


def test_scores_depend_on_the_links(graphs):
    features, adjacency = graphs
    scorer = gin(features)
    unlinked = scorer(features, torch.zeros_like(adjacency))
    assert (unlinked - scorer(features, adjacency)).abs().min() > 1e-6


def test_a_gin_layer_is_its_formula(graphs):
    features, adjacency = graphs
    layer = gin(features).layers[0]
    h = features.flatten(0, 1)
    summed = torch.stack([1.3 * h[n] + adjacency.flatten(0, 1)[n] @ h[n] for n in range(len(h))])
    out = layer.mlp(summed)
    mean, var = out.mean((0, 1)), out.var((0, 1), correction=0)
    expected = torch.relu((out - mean) / torch.sqrt(var + layer.norm.eps))
    torch.testing.assert_close(layer(features, adjacency).flatten(0, 1), expected)


def test_the_two_cells_of_darts_are_told_apart():
    space = get_space("darts")
    found = cell_graphs(space, [space.sample(np.random.default_rng(0)) for _ in range(4)])
    features, adjacency = (
        torch.from_numpy(found.features).double(),
        torch.from_numpy(found.adjacency).double(),
    )
    scorer = gin(features)
    swapped = scorer(features.flip(1), adjacency.flip(1))
    assert (swapped - scorer(features, adjacency)).abs().max() > 1e-6


def test_equal_scores_cost_ln_2_in_ranknet():
    assert pair_loss(torch.zeros(7), "logistic", margin=0.1).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("gap", [0.5, 2.0, -3.0, 60.0])
def test_pairs_ordered_with_a_gap_cost_its_logistic_loss(gap):
    loss = pair_loss(torch.full((5,), gap, dtype=torch.float64), "logistic", margin=0.1).item()
    assert loss == pytest.approx(math.log1p(math.exp(-gap)))


def test_the_hinge_costs_what_is_missing_to_the_margin():
    margins = torch.tensor([-1.0, 0.0, 0.05, 0.1, 3.0], dtype=torch.float64)
    each = [pair_loss(one[None], "hinge", margin=0.1).item() for one in margins]
    assert each == pytest.approx([1.1, 0.1, 0.05, 0.0, 0.0])
    assert pair_loss(margins, "hinge", margin=0.1).item() == pytest.approx(sum(each) / 5)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_adding_a_constant_to_all_scores_changes_no_loss(loss):
    scores = torch.randn(10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    winners, losers = torch.tensor([0, 3, 5, 9]), torch.tensor([1, 2, 4, 0])

    def cost(values):
        return pair_loss(values[winners] - values[losers], loss, margin=0.1).item()

    assert cost(scores + 17.0) == pytest.approx(cost(scores))


def test_the_probabilities_of_a_pair_read_either_way_add_up_to_1():
    margins = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for margin in margins:
        wins, loses = (
            math.exp(-pair_loss(way[None], "logistic", margin=0.1).item()) for way in (margin, -margin)
        )
        assert wins + loses == pytest.approx(1, abs=1e-12)


def test_first_weights_come_from_the_given_generator():
    def weights(seed):
        scorer = MlpScorer(6, hidden=8, generator=torch.Generator().manual_seed(seed))
        return torch.cat([parameter.flatten() for parameter in scorer.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
