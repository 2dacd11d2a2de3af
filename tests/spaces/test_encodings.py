"""Integer encodings of other code: NASLib, A2M, GeNAS."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from genotypes import GENAS, genes_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from raynas.errors import InputError
from raynas.spaces import (
    from_a2m,
    from_genes,
    from_naslib,
    get_space,
    repair_genes,
    to_a2m,
    to_genes,
    to_naslib,
)

NB201, S5 = get_space("nas_bench_201"), get_space("darts_s5")
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def test_naslib_numbers_operations_and_edges_differently():
    # NASLib: edges (0,1) (0,2) (0,3) (1,2) (1,3) (2,3); 0 skip, 1 none, 2 conv 3x3, 3 conv 1x1, 4 pool.
    text = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    assert to_naslib(NB201.parse(text)) == (2, 0, 4, 1, 3, 2)
    assert str(from_naslib((2, 0, 4, 1, 3, 2))) == text


def test_naslib_and_back_is_the_identity_on_the_whole_space():
    everything = [NB201.at(i) for i in range(NB201.size)]
    encoded = [to_naslib(a) for a in everything]
    assert len(set(encoded)) == NB201.size
    assert [from_naslib(ops) for ops in encoded] == everything


@pytest.mark.parametrize(
    ("ops", "reason"), [((0,) * 5, "6 in nas_bench_201; got 5"), ((5,) * 6, "from 0 to 4")]
)
def test_wrong_naslib_operations_are_refused(ops, reason):
    with pytest.raises(InputError, match=reason):
        from_naslib(ops)


@pytest.mark.parametrize("name", ["darts", "darts_s1", "darts_s2", "darts_s3", "darts_s5"])
@few
@given(seed=seeds)
def test_matrices_and_genes_read_back(name, seed):
    space = get_space(name)
    a = space.sample(np.random.default_rng(seed))
    assert from_a2m(to_a2m(a), space=name) == a
    assert from_genes(*to_genes(a), space=name) == a


def test_matrices_have_a_row_a_node_and_a_column_a_predecessor():
    normal = [0, 6, 1, -1, 2, -1, 3, -1, 4, 5, -1, -1, -1, 0]
    a = S5.architecture([*normal, *S5.at(0).ops[14:]])
    matrices = to_a2m(a)
    assert matrices.shape == (2, 4, 5)
    assert matrices[0].tolist() == [[1, 7, 0, 0, 0], [2, 0, 3, 0, 0], [0, 4, 0, 5, 0], [6, 0, 0, 0, 1]]
    assert ((matrices != 0).sum(axis=2) == 2).all()


def test_a_matrix_entry_beyond_the_predecessors_is_refused():
    matrices = to_a2m(S5.at(0))
    matrices[1, 0, 2] = 3
    with pytest.raises(InputError, match="matrix 1: row 0 cannot take an input from 2, only from 0 to 1"):
        from_a2m(matrices)


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"have the shape \(2, 4, 5\); got \(4, 5\)"):
        from_a2m(to_a2m(S5.at(0))[0])


@pytest.mark.parametrize("found", GENAS)
def test_the_published_genes_are_valid_and_read_back(found):
    normal, reduce = map(genes_of, GENAS[found])
    assert to_genes(from_genes(normal, reduce)) == (normal, reduce)
    assert from_genes(normal, reduce, space="darts").ops != from_genes(normal, reduce).ops


@pytest.mark.parametrize(
    ("position", "gene", "reason"),
    [
        (0, 0, "normal node 2: 1 operations, must be 2"),
        (5, 3, "normal node 4: 3 operations, must be 2"),
        (0, 8, "operation id 8 must be from 0 to 7"),
    ],
)
def test_wrong_genes_are_refused(position, gene, reason):
    normal, reduce = map(genes_of, GENAS["C10 flatness"])
    with pytest.raises(InputError, match=reason):
        from_genes([*normal[:position], gene, *normal[position + 1 :]], reduce)
    with pytest.raises(InputError, match=r"14 genes; got 13 \(normal\) and 14 \(reduce\)"):
        from_genes(normal[1:], reduce)


def test_an_operation_without_an_id_is_refused():
    a = get_space("darts_s4").at(0)
    with pytest.raises(InputError, match="'noise' has no id in this encoding"):
        to_genes(a)


@pytest.mark.parametrize("encode", [to_a2m, to_genes])
def test_an_encoding_of_darts_refuses_other_kinds(encode):
    with pytest.raises(
        InputError, match="is for the DARTS family, and nas_bench_201 is a nas_bench_201 space"
    ):
        encode(NB201.at(0))


def test_naslib_refuses_the_darts_family():
    with pytest.raises(InputError, match="are for NAS-Bench-201, and darts_s5 is a darts space"):
        to_naslib(S5.at(0))


@few
@given(seed=seeds, genes=st.lists(st.integers(0, 7), min_size=14, max_size=14))
def test_repaired_genes_are_valid_and_stay_as_they_are(seed, genes):
    rng = np.random.default_rng(seed)
    repaired = repair_genes(rng, genes)
    assert repaired.count(0) == 6
    from_genes(repaired, repaired)
    state = rng.bit_generator.state
    assert repair_genes(rng, repaired) == repaired
    assert rng.bit_generator.state == state


def test_repaired_uniform_genes_are_uniform_over_the_choices_of_a_node():
    rng = np.random.default_rng(0)
    nodes = Counter(repair_genes(rng, genes)[9:] for genes in rng.integers(0, 8, (10_000, 14)).tolist())
    assert len(nodes) == 490
    assert stats.chisquare(list(nodes.values())).pvalue > 1e-4


def test_repair_refuses_a_number_of_genes_that_is_no_cell():
    with pytest.raises(InputError, match="got 13"):
        repair_genes(np.random.default_rng(0), [1] * 13)
