"""Walks over the choices of all sites: spheres, shortest paths, and the levels between two ends (A2M).

An architecture here is the tuple of the numbers of its sites' choices. Sites are independent and distances
add up, so an architecture lies on a shortest path exactly if each of its choices lies on a shortest path of
its site.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from raynas.spaces.site import Site

Digits: TypeAlias = tuple[int, ...]


def sphere(sites: Sequence[Site], centre: Digits, radius: int) -> list[Digits]:
    """Everything at exactly a distance from the centre, in lexicographic order."""
    counts = [site.counts[choice] for site, choice in zip(sites, centre, strict=True)]
    reach_after = [0]
    for of_site in reversed(counts):
        reach_after.append(reach_after[-1] + max(r for r, count in enumerate(of_site) if count))
    reach_after.reverse()
    found: list[Digits] = []

    def walk(position: int, prefix: Digits, left: int) -> None:
        if left == 0:
            found.append(prefix + centre[position:])
            return
        site, here = sites[position], centre[position]
        row = site.rows[here]
        near = range(min(left + 1, len(counts[position])))
        for choice in sorted(chain.from_iterable(site.shell(here, r) for r in near)):
            if left <= row[choice] + reach_after[position + 1]:
                walk(position + 1, (*prefix, choice), left - row[choice])

    if radius <= reach_after[0]:
        walk(0, (), radius)
    return found


def levels(sites: Sequence[Site], start: Digits, end: Digits) -> list[list[Digits]]:
    """Level r holds all at distance r from the start and D - r from the end, in lexicographic order."""
    found: list[list[Digits]] = [[()]]
    for site, first, last in zip(sites, start, end, strict=True):
        by_distance = site.between(first, last)
        grown: list[list[Digits]] = [[] for _ in range(len(found) + len(by_distance) - 1)]
        for r, prefixes in enumerate(found):
            for step, choices in enumerate(by_distance):
                grown[r + step].extend((*prefix, choice) for prefix in prefixes for choice in choices)
        found = grown
    return [sorted(level) for level in found]


def shortest_paths(sites: Sequence[Site], start: Digits, end: Digits) -> Iterator[tuple[Digits, ...]]:
    """Every sequence of unit steps that nears the end at each, both ends included; by the sites moved."""

    def walk(path: tuple[Digits, ...]) -> Iterator[tuple[Digits, ...]]:
        here = path[-1]
        if here == end:
            yield path
            return
        for position, site in enumerate(sites):
            if here[position] == end[position]:
                continue
            for choice in site.between(here[position], end[position])[1]:
                yield from walk((*path, (*here[:position], choice, *here[position + 1 :])))

    yield from walk((start,))
