"""NAS-Bench-201: its published encoding, counts and tables; and cells like it of a user's own."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from raynas.errors import InputError
from raynas.spaces import get_space

SPACE = get_space("nas_bench_201")

# The example of the benchmark's own documentation.
DOCUMENTED = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


def test_operations_and_edges_are_in_the_benchmarks_order():
    assert SPACE.operations == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert [edge.name for edge in SPACE.edges] == ["1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"]
    assert SPACE.kind == "nas_bench_201"


def test_the_documented_string_has_the_documented_operations():
    a = SPACE.parse(DOCUMENTED)
    assert a.ops == (3, 3, 4, 1, 3, 1)
    assert str(a) == DOCUMENTED


def test_all_15625_strings_are_different_and_read_back():
    strings = [str(SPACE.at(i)) for i in range(15_625)]
    assert len(set(strings)) == SPACE.size == 15_625
    assert [SPACE.index(SPACE.parse(text)) for text in strings] == list(range(15_625))


def test_the_index_is_the_base_5_code_of_the_operations():
    for i, ops in zip(range(15_625), product(range(5), repeat=6), strict=True):
        if i % 97 == 0:
            assert SPACE.at(i).ops == ops
            assert SPACE.index(SPACE.architecture(ops)) == i


def test_the_table_of_operations_has_every_architecture_at_its_index():
    table = SPACE.ops_table()
    assert table.dtype == np.int8
    assert table.tolist() == [list(ops) for ops in product(range(5), repeat=6)]


def test_spheres_and_balls_have_the_published_sizes():
    a = SPACE.at(1234)
    assert [SPACE.sphere_size(a, r) for r in range(8)] == [1, 24, 240, 1280, 3840, 6144, 4096, 0]
    assert [SPACE.ball_size(a, d) for d in (0, 1, 2, 3, 6, 9)] == [1, 25, 265, 1545, 15_625, 15_625]
    assert [len(SPACE.neighbors(a, r)) for r in range(8)] == [1, 24, 240, 1280, 3840, 6144, 4096, 0]


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_neighbours_are_those_at_the_hamming_distance(radius):
    a = SPACE.at(9876)
    hamming = (SPACE.ops_table() != np.array(a.ops)).sum(axis=1)
    assert [SPACE.index(x) for x in SPACE.neighbors(a, radius)] == np.flatnonzero(hamming == radius).tolist()


@pytest.mark.parametrize(("radius", "count"), [(0, 1), (1, 24), (2, 240), (3, 1280), (7, 0)])
def test_the_table_of_neighbours_equals_the_neighbours_of_each(radius, count):
    table = SPACE.neighbor_indices(radius)
    assert table.shape == (15_625, count)
    assert table.dtype == np.int32
    for i in (0, 1, 7777, 15_624):
        assert table[i].tolist() == [SPACE.index(x) for x in SPACE.neighbors(SPACE.at(i), radius)]


def test_on_an_additive_landscape_the_mean_of_the_ball_is_an_affine_map_of_the_value():
    # methods-sampling.md section 7, item 7: the 24 neighbours sum to 19 f(a) + W.
    weights = np.random.default_rng(0).normal(size=(6, 5))
    f = weights[np.arange(6), SPACE.ops_table()].sum(axis=1)
    neighbours = f[SPACE.neighbor_indices()].sum(axis=1)
    np.testing.assert_allclose(neighbours, 19 * f + weights.sum())
    np.testing.assert_allclose((neighbours + f) / 25, 0.8 * f + weights.sum() / 25)


def test_each_edge_is_one_question():
    assert SPACE.decisions(SPACE.parse(DOCUMENTED)) == {
        "edge_1<-0": "nor_conv_3x3",
        "edge_2<-0": "nor_conv_3x3",
        "edge_2<-1": "avg_pool_3x3",
        "edge_3<-0": "skip_connect",
        "edge_3<-1": "nor_conv_3x3",
        "edge_3<-2": "skip_connect",
    }


def test_an_answer_that_was_not_offered_is_refused():
    with pytest.raises(InputError, match=r"edge_1<-0: 'conv' is not one of the choices offered: none, skip"):
        SPACE.suggest(lambda parameter, choices: "conv")


def test_spaces_around_the_parts_of_a_string_do_not_matter():
    assert SPACE.parse(f"  {DOCUMENTED.replace('+', ' + ').replace('~', ' ~ ')}\n") == SPACE.parse(DOCUMENTED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there are 1 nodes, joined by '+', and must be 3"),
        (
            DOCUMENTED.replace("nor_conv_3x3~1", "nor_conv_3~1"),
            "edge 3<-1: unknown operation 'nor_conv_3'; did you",
        ),
        (DOCUMENTED.replace("avg_pool_3x3~1", "avg_pool_3x3~0"), "input 1 of node 2 is 'avg_pool_3x3~0'"),
        (DOCUMENTED.replace("|nor_conv_3x3~1", ""), "node 3 has 2 inputs and must have 3"),
        (DOCUMENTED[:-1], "must begin and end with '|'"),
    ],
)
def test_a_wrong_string_is_refused_with_the_place(text, reason):
    with pytest.raises(InputError) as refused:
        SPACE.parse(text)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("ops", "reason"),
    [
        ((0,) * 5, "has 6 edges, and 5 operations were given"),
        ((0,) * 7, "has 6 edges, and 7 operations were given"),
        ((0, 0, 0, 0, 5, 0), r"edge 3<-1: operation 5 is not among its operations: none \(0\)"),
        ((0, 0, -1, 0, 0, 0), "edge 2<-1: 0 operations, must be 1"),
    ],
)
def test_wrong_operations_are_refused_with_the_place(ops, reason):
    with pytest.raises(InputError, match=reason):
        SPACE.architecture(ops)


def test_a_smaller_cell_needs_only_its_yaml(small_cell):
    assert small_cell.size == 6
    assert [str(small_cell.at(i)) for i in (0, 5)] == [
        "|conv~0|+|none~0|conv~1|",
        "|skip_connect~0|+|conv~0|conv~1|",
    ]
    assert small_cell.neighbor_indices().tolist() == [
        [1, 2, 3],
        [0, 2, 4],
        [0, 1, 5],
        [0, 4, 5],
        [1, 3, 5],
        [2, 3, 4],
    ]
    assert {x.ops for x in map(small_cell.at, range(6))} == set(map(tuple, small_cell.ops_table().tolist()))
    assert list(small_cell.decisions(small_cell.at(0))) == ["edge_1<-0", "edge_2<-0"]


def test_an_operation_that_an_edge_does_not_have_is_refused(small_cell):
    with pytest.raises(
        InputError, match=r"edge 2<-1: 'skip_connect' is not among its operations: conv \(2\)"
    ):
        small_cell.parse("|conv~0|+|none~0|skip_connect~1|")
