"""Graphs and one-hot vectors of architectures."""

from __future__ import annotations

import numpy as np
import pytest

from raynas.errors import InputError
from raynas.predictors.ranking.graph import cell_graphs
from raynas.predictors.ranking.operations import one_hot
from raynas.spaces import get_space

NB201 = get_space("nas_bench_201")
DARTS = ["darts", "darts_s1", "darts_s2", "darts_s3", "darts_s4", "darts_s5"]


def sampled(name, n, seed=0):
    space, rng = get_space(name), np.random.default_rng(seed)
    return space, [space.sample(rng) for _ in range(n)]


def test_a_nas_bench_201_cell_is_the_graph_of_eight_nodes_of_arch2vec():
    # input, then the edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2, then the output
    links = [(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7)]
    expected = np.zeros((8, 8))
    for one, other in links:
        expected[one, other] = expected[other, one] = 1
    space, architectures = sampled("nas_bench_201", 20)
    graphs = cell_graphs(space, architectures)
    assert graphs.features.shape == (20, 1, 8, 7)
    for architecture, features, adjacency in zip(
        architectures, graphs.features, graphs.adjacency, strict=True
    ):
        np.testing.assert_array_equal(adjacency[0], expected)
        assert features[0].argmax(axis=1).tolist() == [0, *(op + 1 for op in architecture.ops), 6]
    np.testing.assert_array_equal(graphs.features.sum(axis=-1), 1)


def test_a_darts_cell_links_each_operation_to_what_it_reads():
    genes = "('skip_connect', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 1), ('dil_conv_5x5', 2)"
    genes += ", ('skip_connect', 2), ('sep_conv_3x3', 3), ('skip_connect', 0), ('sep_conv_5x5', 4)"
    text = (
        f"Genotype(normal=[{genes}], normal_concat=range(2, 6), reduce=[{genes}], reduce_concat=range(2, 6))"
    )
    space = get_space("darts")
    graphs = cell_graphs(space, [space.parse(text)])
    assert graphs.features.shape == (1, 2, 11, 11)
    # 0 and 1 are the inputs; 2, 3 make node 2; 4, 5 node 3; 6, 7 node 4; 8, 9 node 5; 10 is the output
    reads = {2: [0], 3: [1], 4: [1], 5: [2, 3], 6: [2, 3], 7: [4, 5], 8: [0], 9: [6, 7], 10: [*range(2, 10)]}
    expected = np.zeros((11, 11))
    for node, sources in reads.items():
        expected[node, sources] = expected[sources, node] = 1
    for cell in range(2):
        np.testing.assert_array_equal(graphs.adjacency[0, cell], expected)
        names = [space.operations[kind - 2] for kind in graphs.features[0, cell].argmax(axis=1)[2:10]]
        assert names == [pair.split("'")[1] for pair in genes.split("), ")]


@pytest.mark.parametrize("name", DARTS)
def test_every_darts_architecture_is_two_symmetric_graphs_of_its_operations(name):
    space, architectures = sampled(name, 50)
    graphs = cell_graphs(space, architectures)
    assert graphs.features.shape == (50, 2, 11, len(space.operations) + 3)
    np.testing.assert_array_equal(graphs.features.sum(axis=-1), 1)
    np.testing.assert_array_equal(graphs.adjacency, graphs.adjacency.swapaxes(-1, -2))
    np.testing.assert_array_equal(np.diagonal(graphs.adjacency, axis1=-2, axis2=-1), 0)
    np.testing.assert_array_equal(graphs.adjacency[..., 10, 2:10], 1)


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "darts_s1"])
def test_different_architectures_have_different_inputs(name):
    space, architectures = sampled(name, 100)
    changed = [space.mutate(np.random.default_rng(7), one) for one in architectures]
    graphs, others = cell_graphs(space, architectures), cell_graphs(space, changed)
    same_graph = [
        np.array_equal(a, b) and np.array_equal(c, d)
        for a, b, c, d in zip(
            graphs.features, others.features, graphs.adjacency, others.adjacency, strict=True
        )
    ]
    assert not any(same_graph)
    assert (one_hot(space, architectures) != one_hot(space, changed)).any(axis=1).all()


def test_a_users_own_space_of_a_known_kind_has_its_graph(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text("kind: nas_bench_201\nnodes: 3\noperations: [skip_connect, nor_conv_3x3]\n")
    space = get_space(str(path))
    graphs = cell_graphs(space, [space.at(0)])
    # input, 1<-0, 2<-0, 2<-1, output
    expected = [[0, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 1, 1, 0]]
    np.testing.assert_array_equal(graphs.adjacency[0, 0], expected)
    path = tmp_path / "wide.yaml"
    path.write_text("kind: darts\nnodes: 2\noperations: [skip_connect, sep_conv_3x3]\n")
    space = get_space(str(path))
    assert cell_graphs(space, [space.at(0)]).features.shape == (1, 2, 7, 5)


def test_one_hot_has_a_column_an_edge_and_operation_that_may_be_there():
    space, architectures = sampled("nas_bench_201", 10)
    vectors = one_hot(space, architectures)
    assert vectors.shape == (10, 30)
    ops = np.array([one.ops for one in architectures])
    np.testing.assert_array_equal(vectors.reshape(10, 6, 5).argmax(axis=2), ops)
    np.testing.assert_array_equal(vectors.sum(axis=1), 6)
    space, architectures = sampled("darts_s1", 10)
    vectors = one_hot(space, architectures)
    assert vectors.shape == (10, 28 * 2)
    np.testing.assert_array_equal(vectors.sum(axis=1), 16)


@pytest.mark.parametrize("encode", [cell_graphs, one_hot])
def test_architectures_of_another_space_are_refused(encode):
    _, foreign = sampled("darts", 1)
    with pytest.raises(InputError, match="an architecture of darts was given to nas_bench_201"):
        encode(NB201, foreign)


def test_a_kind_without_a_known_graph_is_refused_with_a_way_out(monkeypatch):
    space, architectures = sampled("nas_bench_201", 1)
    monkeypatch.setattr(type(space), "kind", "my.package:Kind")
    with pytest.raises(InputError, match="encoder: mlp"):
        cell_graphs(space, architectures)
