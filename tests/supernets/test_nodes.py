"""Sums at the nodes of a cell, against counts of paths."""

from __future__ import annotations

import pytest
import torch

from raynas.supernets.nodes import node_values

ALL_PAIRS = [(target, source) for target in range(1, 5) for source in range(target)]


def test_identities_give_as_many_copies_as_there_are_paths():
    x = torch.ones(1, 2, 3, 3)
    values = node_values((x,), ALL_PAIRS, lambda position, source: source)
    assert [value[0, 0, 0, 0].item() for value in values] == [1, 1, 2, 4, 8]


def test_an_edge_is_told_by_its_position():
    values = node_values(
        (torch.zeros(1, 1, 1, 1),), ALL_PAIRS, lambda position, source: source + 10.0**position
    )
    assert [value.item() for value in values[:3]] == [0, 1, 10 + 100 + 1]


@pytest.mark.parametrize(("stride", "side"), [(1, (5, 8)), (2, (3, 4))])
def test_nodes_that_nothing_is_added_to_are_zeros_of_their_size(stride, side):
    inputs = (torch.ones(2, 3, 5, 8, dtype=torch.float64),) * 2
    ends = [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    seen = []
    values = node_values(inputs, ends, lambda position, source: seen.append(source), stride=stride)
    assert values[0] is inputs[0]
    assert values[1] is inputs[1]
    due = torch.zeros(2, 3, *side, dtype=torch.float64)
    for value in (*values[2:], seen[-1]):
        assert value.dtype == due.dtype
        assert torch.equal(value, due)
