"""Repair of genes (``check_cand`` of GeNAS and RLNAS) in every space: valid, idempotent, uniform."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from genotypes import GENAS, genes_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raynas.errors import InputError
from raynas.spaces import ABSENT, from_genes, get_space, repaired

SPACES = ["darts", "darts_s1", "darts_s2", "darts_s3", "darts_s4", "darts_s5", "nas_bench_201"]


def random_genes(space, rng):
    """Genes drawn independently and uniformly from each edge's operations and its absence."""
    return [int(rng.choice([ABSENT, *edge.selectable])) for edge in space.edges]


def looks_uniform(counts):
    return len(counts) == 1 or stats.chisquare(list(counts.values())).pvalue > 1e-4


def nodes_of(space):
    """(cell, number) of every node with inputs, in the order of the edges."""
    return list(dict.fromkeys((edge.cell, edge.target) for edge in space.edges))


def check_repair_of(space, seed):
    rng = np.random.default_rng(seed)
    found = repaired(rng, space, random_genes(space, rng))
    assert space.at(space.index(found)) == found
    state = rng.bit_generator.state
    assert repaired(rng, space, found.ops) == found
    assert rng.bit_generator.state == state
    return found


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_repaired_genes_are_an_architecture_that_repair_leaves_alone(name, seed):
    found = check_repair_of(get_space(name), seed)
    if name != "nas_bench_201":
        assert [found.ops[:14].count(ABSENT), found.ops[14:].count(ABSENT)] == [6, 6]


def test_repair_keeps_to_the_operations_of_each_edge(uneven_darts, small_cell):
    for seed in range(50):
        check_repair_of(uneven_darts, seed)
        check_repair_of(small_cell, seed)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), node=st.integers(0, 7))
def test_repair_changes_no_node_but_the_one_that_needs_it(seed, node):
    space, rng = get_space("darts"), np.random.default_rng(seed)
    sound = space.sample(rng)
    edges = [at for at, edge in enumerate(space.edges) if (edge.cell, edge.target) == nodes_of(space)[node]]
    for broken in ([ABSENT] * len(edges), [4] * len(edges)):
        genes = list(sound.ops)
        genes[edges[0] : edges[-1] + 1] = broken
        found = repaired(rng, space, genes)
        assert all(found.ops[at] == op for at, op in enumerate(sound.ops) if at not in edges)


@pytest.mark.parametrize("name", ["darts", "darts_s1"])
def test_uniform_genes_leave_every_pair_of_inputs_and_every_operation_as_likely(name):
    space, rng = get_space(name), np.random.default_rng(0)
    n = 3000
    found = [repaired(rng, space, random_genes(space, rng)).ops for _ in range(n)]
    for cell, target in nodes_of(space):
        edges = [at for at, edge in enumerate(space.edges) if (edge.cell, edge.target) == (cell, target)]
        pairs = Counter(tuple(at for at in edges if ops[at] != ABSENT) for ops in found)
        assert pairs.keys() == set(combinations(edges, 2))
        assert looks_uniform(pairs)
        for at in edges:
            drawn = Counter(ops[at] for ops in found if ops[at] != ABSENT)
            assert drawn.keys() == set(space.edges[at].selectable)
            assert looks_uniform(drawn)


@pytest.mark.parametrize("found", GENAS)
def test_the_architectures_that_genas_published_need_no_repair(found):
    # the operations of darts are in the order of the genes, so that none (0) is an edge not used
    cells = list(map(genes_of, GENAS[found]))
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert repaired(rng, get_space("darts"), sum(cells, ())) == from_genes(*cells, space="darts")
    assert rng.bit_generator.state == state


def test_an_edge_of_nas_bench_201_without_a_gene_gets_a_uniform_operation():
    space, rng = get_space("nas_bench_201"), np.random.default_rng(0)
    found = [repaired(rng, space, [3, ABSENT, 0, 0, 0, 1]).ops for _ in range(1000)]
    assert {(*ops[:1], *ops[2:]) for ops in found} == {(3, 0, 0, 0, 1)}
    drawn = Counter(ops[1] for ops in found)
    assert len(drawn) == 5
    assert looks_uniform(drawn)


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([1] * 27, "darts_s1 has 28 edges, and 27 genes were given"),
        ([5] * 28, "edge normal 2<-0: gene 5 is not among its operations: skip_connect"),
    ],
)
def test_genes_that_no_repair_helps_are_refused(genes, message):
    with pytest.raises(InputError, match=message):
        repaired(np.random.default_rng(0), get_space("darts_s1"), genes)
