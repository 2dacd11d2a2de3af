"""Canonical forms: the counts that were published or measured, and that members of a class compute alike."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.spaces.canonical import (
    INPUT,
    benchmark_string,
    canonical_form,
    classes,
    convolution_of_edges,
)

SPACE = get_space("nas_bench_201")
EDGES = [(edge.target, edge.source) for edge in SPACE.edges]
POOLED = np.array([[abs(i - j) <= 1 for j in range(5)] for i in range(5)], dtype=float)
POOLED /= POOLED.sum(axis=1, keepdims=True)

every_cell = st.integers(0, SPACE.size - 1).map(SPACE.at)


@pytest.fixture(scope="module")
def classified():
    return classes(SPACE)


@pytest.fixture(scope="module")
def members(classified):
    """Indices of the members of every class that has more than one."""
    class_of, cells = classified
    order = np.argsort(class_of, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(class_of, minlength=len(cells)))[:-1])
    return [group for group in groups if group.size > 1]


def weights_of(rng):
    """Weights of one convolution: a matrix over 3 channels and a batch norm's scale and bias."""
    return rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=3)


def convolve(x, weights):
    """Mixes channels and neighbours, bends, scales and shifts.

    No ReLU: what it cuts off would make cells alike by chance.
    """
    matrix, scale, bias = weights
    mixed = np.einsum("oc,chw->ohw", matrix, x) + 0.3 * np.roll(x, 1, axis=1)
    return np.arcsinh(mixed + 0.4) * scale[:, None, None] + bias[:, None, None]


def pool(x):
    """A mean over the 3 x 3 neighbours that there are."""
    return np.einsum("ih,chw,jw->cij", POOLED, x, POOLED)


def run_as_written(architecture, x, weights, rng):
    """The cell edge by edge; an edge out of an empty node is dropped, dead convolutions have any weights."""
    nodes = [x, None, None, None]
    numbers = convolution_of_edges(architecture)
    for (target, source), op, number in zip(EDGES, architecture.ops, numbers, strict=True):
        name, value = SPACE.operations[op], nodes[source]
        if name == "none" or value is None:
            continue
        if name == "avg_pool_3x3":
            value = pool(value)
        elif name != "skip_connect":
            value = convolve(value, weights[number - 1] if number else weights_of(rng))
        nodes[target] = value if nodes[target] is None else nodes[target] + value
    return np.zeros_like(x) if nodes[3] is None else nodes[3]


def run_canonical(cell, x, weights):
    """The canonical form, instance by instance."""
    values = [x]

    def total(terms):
        result = np.zeros_like(x)
        for pools, source, times in terms:
            value = values[source]
            for _ in range(pools):
                value = pool(value)
            result = result + times * value
        return result

    for convolution, of_it in zip(cell.convolutions, weights, strict=True):
        values.append(convolve(total(convolution.inputs), of_it))
    return total(cell.output)


def test_nas_bench_201_has_5044_classes_of_which_3843_have_one_member(classified):
    class_of, cells = classified
    counts = np.bincount(class_of)
    assert class_of.shape == (15_625,)
    assert len(cells) == len(set(cells)) == counts.size == 5_044
    assert (counts == 1).sum() == 3_843


def test_the_341_disconnected_cells_are_one_class(classified):
    class_of, cells = classified
    disconnected = [number for number, cell in enumerate(cells) if not cell.is_connected]
    assert len(disconnected) == 1
    assert (class_of == disconnected[0]).sum() == 341


def test_classes_are_numbered_by_their_first_member(classified):
    class_of, _ = classified
    first = np.unique(class_of, return_index=True)[1]
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize(("zeros", "count"), [(True, 6_466), (False, 12_751)])
def test_the_benchmarks_own_strings_have_their_known_counts(zeros, count):
    strings = {benchmark_string(SPACE.at(index), zeros=zeros) for index in range(SPACE.size)}
    assert len(strings) == count


@given(architecture=every_cell)
def test_the_form_of_a_cell_is_that_of_its_class(classified, architecture):
    class_of, cells = classified
    assert canonical_form(architecture) == cells[class_of[SPACE.index(architecture)]]


@settings(deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_members_of_a_class_compute_the_same_function(members, data, seed):
    group = data.draw(st.sampled_from(members))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 5, 5))
    first, *_, last = chosen = data.draw(st.lists(st.sampled_from(group.tolist()), min_size=2, max_size=4))
    cell = canonical_form(SPACE.at(first))
    assert canonical_form(SPACE.at(last)) == cell
    weights = [weights_of(rng) for _ in cell.convolutions]
    expected = run_canonical(cell, x, weights)
    for index in chosen:
        written = run_as_written(SPACE.at(index), x, weights, rng)
        np.testing.assert_allclose(written, expected, rtol=0, atol=1e-12 * max(1.0, np.abs(expected).max()))


def test_different_classes_compute_different_functions(classified):
    # Weights are tied by operation and place in the form, so that only the form makes a difference.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 5, 5))
    weights = {name: [weights_of(rng) for _ in EDGES] for name in SPACE.operations}
    outputs = set()
    for cell in classified[1]:
        of_it = [weights[convolution.operation][place] for place, convolution in enumerate(cell.convolutions)]
        outputs.add(tuple(np.round(run_canonical(cell, x, of_it)[0], 7).ravel().tolist()))
    assert len(outputs) == 5_044


@given(architecture=every_cell)
def test_inputs_of_a_convolution_come_before_it_and_all_reach_the_output(architecture):
    cell = canonical_form(architecture)
    used = {term.source for term in cell.output}
    for number, convolution in enumerate(cell.convolutions, start=1):
        assert convolution.inputs
        assert all(INPUT <= term.source < number for term in convolution.inputs)
        used |= {term.source for term in convolution.inputs}
    assert used - {INPUT} == set(range(1, len(cell.convolutions) + 1))


@given(architecture=every_cell)
def test_every_convolution_of_the_form_is_one_edge_of_the_cell_with_its_operation(architecture):
    cell = canonical_form(architecture)
    numbers = convolution_of_edges(architecture)
    assert sorted(filter(None, numbers)) == list(range(1, len(cell.convolutions) + 1))
    for op, number in zip(architecture.ops, numbers, strict=True):
        assert not number or SPACE.operations[op] == cell.convolutions[number - 1].operation


def test_one_convolution_used_twice_is_not_two_convolutions():
    once = SPACE.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|")
    twice = SPACE.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|")
    assert str(canonical_form(once)) == "c1 = nor_conv_3x3(x); out = 2*c1"
    assert str(canonical_form(twice)) == "c1 = nor_conv_3x3(x); c2 = nor_conv_3x3(x); out = c1 + c2"


def test_pools_distribute_over_sums():
    text = "|skip_connect~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|"
    assert str(canonical_form(SPACE.parse(text))) == "c1 = nor_conv_1x1(x); out = pool(x) + pool(c1)"


def test_forms_are_ordered_hashable_and_picklable():
    cells = [canonical_form(SPACE.at(index)) for index in (777, 7_777, 14_444)]
    assert pickle.loads(pickle.dumps(cells)) == cells
    assert sorted(cells)[0] == min(cells)
    assert len(set(cells)) == 3


def test_a_space_of_other_cells_is_refused():
    with pytest.raises(InputError, match="every pair of nodes is an edge"):
        classes(get_space("darts"))
