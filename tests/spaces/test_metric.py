"""The metric against enumeration, on a space whose architectures have different numbers of neighbours."""

from __future__ import annotations

import pytest

from raynas.errors import InputError


def steps_from(start, neighbours):
    """Steps of a breadth-first search from one index to all."""
    depth, front = {start: 0}, [start]
    while front:
        reached = {j for i in front for j in neighbours[i]} - depth.keys()
        depth.update(dict.fromkeys(reached, depth[front[0]] + 1))
        front = list(reached)
    return [depth[i] for i in range(len(neighbours))]


def test_the_distance_is_the_least_number_of_steps_and_the_spheres_are_what_it_says(uneven_darts):
    everything = [uneven_darts.at(i) for i in range(uneven_darts.size)]
    neighbours = [[uneven_darts.index(x) for x in uneven_darts.neighbors(a)] for a in everything]
    for start in (0, 500, uneven_darts.size - 1):
        a, steps = everything[start], steps_from(start, neighbours)
        assert steps == [uneven_darts.distance(a, x) for x in everything]
        for radius in range(max(steps) + 2):
            there = [i for i, n in enumerate(steps) if n == radius]
            assert uneven_darts.sphere_size(a, radius) == len(there)
            assert [uneven_darts.index(x) for x in uneven_darts.neighbors(a, radius)] == there


def test_a_table_of_neighbours_is_refused_where_their_numbers_differ(uneven_darts):
    sizes = {uneven_darts.sphere_size(uneven_darts.at(i), 1) for i in range(uneven_darts.size)}
    assert len(sizes) > 1
    with pytest.raises(InputError, match="different numbers of neighbours"):
        uneven_darts.neighbor_indices()
