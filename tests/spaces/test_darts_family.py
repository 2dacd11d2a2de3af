"""The DARTS space and its subspaces S1 to S5."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.errors import InputError
from raynas.spaces import ABSENT, get_space

DARTS, S5 = get_space("darts"), get_space("darts_s5")
few = settings(max_examples=25, deadline=None)

CELL = 180 * 7**8

# DARTS (second order) as its repository prints it.
V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
    "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)


def slots(space, a):
    """(cell, node, predecessor, operation) of every edge in use: another way to see an architecture."""
    used = zip(space.edges, a.ops, strict=True)
    return {(edge.cell, edge.target, edge.source, op) for edge, op in used if op != ABSENT}


@pytest.mark.parametrize(
    ("name", "cell_size", "n_neighbors"),
    [
        ("darts", CELL, 264),
        ("darts_s5", CELL, 264),
        ("darts_s1", 180 * 2**8, 64),
        ("darts_s2", 180 * 2**8, 64),
        ("darts_s3", 180 * 2**8, 64),
        ("darts_s4", 180 * 2**8, 64),
    ],
)
def test_sizes_and_neighbourhoods_are_as_counted(name, cell_size, n_neighbors):
    space = get_space(name)
    assert space.size == cell_size**2
    for a in (space.at(0), space.sample(np.random.default_rng(0))):
        assert len(space.neighbors(a)) == space.sphere_size(a, 1) == n_neighbors


def test_the_size_of_the_darts_space_is_the_published_one():
    assert math.isqrt(DARTS.size) == 1_037_664_180


def test_none_is_an_operation_of_the_supernet_and_never_of_an_architecture():
    assert DARTS.operations[0] == "none"
    assert all(0 in edge.operations and 0 not in edge.selectable for edge in DARTS.edges)
    assert S5.operations == DARTS.operations[1:]
    with pytest.raises(InputError, match=r"normal 2<-0: 'none' is not an operation of an architecture here"):
        DARTS.parse(V2.replace("sep_conv_3x3", "none", 1))


def test_edges_are_sorted_by_target_then_source_in_both_cells():
    order = [f"{target}<-{source}" for target in range(2, 6) for source in range(target)]
    assert [edge.name for edge in S5.edges] == [f"{cell} {e}" for cell in ("normal", "reduce") for e in order]


def test_a_published_genotype_has_its_operations_on_its_edges():
    a = S5.parse(V2)
    sep, dil, skip, pool = (
        S5.operations.index(op) for op in ("sep_conv_3x3", "dil_conv_3x3", "skip_connect", "max_pool_3x3")
    )
    no = ABSENT
    assert a.ops[:14] == (sep, sep, sep, sep, no, skip, sep, no, no, skip, no, dil, no, no)
    assert a.ops[14:] == (pool, pool, no, pool, skip, pool, no, skip, no, no, pool, skip, no, no)


def test_the_text_of_a_genotype_has_the_pairs_of_a_node_in_the_order_of_predecessors():
    assert str(S5.parse(V2)).startswith(
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
        "normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    )


@pytest.mark.parametrize(
    "rewritten",
    [
        V2.replace(" ", ""),
        V2.replace(" ", "\n   ").replace("(", "( "),
        V2.replace("'", '"'),
        V2.replace("[2, 3, 4, 5]", "range(2, 6)"),
        V2.replace(", reduce_concat=[2, 3, 4, 5]", ""),
        V2.replace("[2, 3, 4, 5]", "[5,4,3,2,]"),
        V2.replace("('sep_conv_3x3', 1), ('skip_connect', 0)", "('skip_connect', 0), ('sep_conv_3x3', 1)"),
    ],
)
def test_white_space_quotes_and_the_order_within_a_node_do_not_matter(rewritten):
    assert rewritten != V2
    assert S5.parse(rewritten) == S5.parse(V2)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Genotype", "Cell", "the text is not 'Genotype(...)'"),
        (
            "('dil_conv_3x3', 2)",
            "('dil_conv_3x3', 5)",
            "normal node 5 cannot take an input from node 5, only",
        ),
        (
            "('skip_connect', 0), ('dil_conv_3x3', 2)",
            "('skip_connect', 2), ('dil_conv_3x3', 2)",
            "takes two inputs",
        ),
        ("('dil_conv_3x3', 2)", "('dil_conv_3', 2)", "normal 5<-2: 'dil_conv_3' is not an operation"),
        ("('dil_conv_3x3', 2)", "('dil_conv_3', 2)", "did you mean 'dil_conv_3x3'"),
        (", ('dil_conv_3x3', 2)", "", "normal has 7 pairs and must have 8, two a node"),
        ("('dil_conv_3x3', 2)", "(2, 'dil_conv_3x3')", "cannot read the pair at \"(2, 'dil_conv_3x3')\""),
        (
            "normal_concat=[2, 3, 4, 5]",
            "normal_concat=[2, 3, 4]",
            "normal_concat must be all intermediate nodes",
        ),
        ("reduce=", "reduction=", "'reduce', a list of ('operation', predecessor) pairs, is missing"),
        ("normal_concat", "normal", "'normal' is given twice"),
        ("reduce_concat=[2, 3, 4, 5]", "extra=[]", "unknown field 'extra'"),
        (
            "reduce_concat=[2, 3, 4, 5]",
            "reduce_concat=__import__('os')",
            'cannot read the field at "reduce_concat=__',
        ),
    ],
)
def test_a_wrong_genotype_is_refused_with_the_place(old, new, reason):
    assert old in V2
    with pytest.raises(InputError) as refused:
        S5.parse(V2.replace(old, new, 1))
    assert reason in str(refused.value)


def test_a_node_without_two_inputs_is_refused():
    ops = list(S5.parse(V2).ops)
    ops[4] = 0
    with pytest.raises(InputError, match="normal node 3: 3 operations, must be 2"):
        S5.architecture(ops)


@few
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 6))
def test_the_distance_is_the_number_of_slots_that_differ(seed, d):
    rng = np.random.default_rng(seed)
    a = S5.sample(rng)
    (b,) = S5.sample_ball(rng, a, d, 1)
    assert S5.distance(a, b) == 16 - len(slots(S5, a) & slots(S5, b))
    assert S5.distance(a, S5.sample(rng)) <= 16


def test_the_264_neighbours_are_96_changes_of_operation_and_168_rewirings():
    a = S5.parse(V2)
    wires = {slot[:3] for slot in slots(S5, a)}
    same_wires = [x for x in S5.neighbors(a) if {slot[:3] for slot in slots(S5, x)} == wires]
    assert (len(same_wires), len(S5.neighbors(a))) == (16 * 6, 16 * 6 + 2 * 84)
    assert all(len(slots(S5, a) - slots(S5, x)) == 1 for x in S5.neighbors(a))


def test_the_neighbours_at_radius_2_are_as_many_as_counted():
    a = S5.parse(V2)
    found = S5.neighbors(a, 2)
    assert len(set(found)) == len(found) == S5.sphere_size(a, 2)
    assert {S5.distance(a, x) for x in found} == {2}


def test_the_inputs_of_a_node_are_asked_before_their_operations():
    answers = S5.decisions(S5.parse(V2))
    assert list(answers.items())[:5] == [
        ("normal_edge_2<-0", "sep_conv_3x3"),
        ("normal_edge_2<-1", "sep_conv_3x3"),
        ("normal_node_3_inputs", "0+1"),
        ("normal_edge_3<-0", "sep_conv_3x3"),
        ("normal_edge_3<-1", "sep_conv_3x3"),
    ]
    assert len(answers) == 2 * (8 + 3)


SHORT = {"skip": "skip_connect", "max": "max_pool_3x3", "avg": "avg_pool_3x3"} | {
    f"{kind}{k}": f"{kind}_conv_{k}x{k}" for kind in ("sep", "dil") for k in (3, 5)
}
S1 = {
    "normal": "skip|dil3 skip|dil5 skip|dil5 skip|sep3 skip|dil3 max|skip skip|sep3 skip|sep3 skip|dil3 "
    "skip|sep3 max|skip skip|dil3 dil3|dil5 dil3|dil5",
    "reduce": "max|avg max|dil3 max|avg max|avg skip|dil5 max|avg max|sep3 skip|dil3 skip|dil5 "
    "max|avg max|avg skip|dil5 skip|dil5 skip|dil5",
}


def test_s1_has_the_published_pair_of_operations_on_each_edge():
    space = get_space("darts_s1")
    for cell, published in S1.items():
        lists = [[space.operations[op] for op in e.operations] for e in space.edges if e.cell == cell]
        assert lists == [[SHORT[op] for op in pair.split("|")] for pair in published.split()]


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("darts_s2", ["skip_connect", "sep_conv_3x3"]),
        ("darts_s3", ["none", "skip_connect", "sep_conv_3x3"]),
        ("darts_s4", ["noise", "sep_conv_3x3"]),
    ],
)
def test_s2_to_s4_have_the_published_operations_on_all_edges(name, operations):
    space = get_space(name)
    assert all([space.operations[op] for op in edge.operations] == operations for edge in space.edges)


def test_an_operation_that_an_edge_of_s1_does_not_have_is_refused():
    with pytest.raises(
        InputError, match="edge normal 2<-0: 'sep_conv_3x3' is not among its operations: skip"
    ):
        get_space("darts_s1").parse(V2)
