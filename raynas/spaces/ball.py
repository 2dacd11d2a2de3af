"""Spheres and balls around an architecture: their sizes, exactly, and uniform draws without enumerating them.

The number of architectures at distance r is a coefficient of the product, over the sites, of the polynomials
whose coefficients count a site's choices by distance. The same products, taken over the sites from one on,
find the k-th member of a sphere, so that drawing k uniformly draws a member uniformly (the ball of NA-RS;
Wang et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from raynas.spaces.site import Site

_INT64 = 2**63


class Spheres:
    """The spheres around one choice of every site.

    Args:
        counts: For each site, how many of its choices are at distance 0, 1, ... from the centre's.
    """

    def __init__(self, counts: Sequence[Sequence[int]]) -> None:
        self._counts = counts
        ways = [1]
        self._ways_after = [ways]
        for of_site in reversed(counts):
            ways = _product(of_site, ways)
            self._ways_after.append(ways)
        self._ways_after.reverse()
        reach = len(ways)
        for row in self._ways_after:
            row.extend([0] * (reach - len(row)))

    def size(self, radius: int) -> int:
        """Number of members at exactly a distance."""
        sizes = self._ways_after[0]
        return sizes[radius] if radius < len(sizes) else 0

    def ball_size(self, d: int) -> int:
        """Number of members at a distance of at most d, the centre included."""
        return sum(self._ways_after[0][: d + 1])

    def member(self, sites: Sequence[Site], centre: Sequence[int], radius: int, rank: int) -> list[int]:
        """The member of a sphere with a rank from 0 to its size less 1, as each site's choice."""
        found = list(centre)
        for position, of_site in enumerate(self._counts):
            if radius == 0:
                break
            ways_after = self._ways_after[position + 1]
            for distance, count in enumerate(of_site):
                ways = ways_after[radius - distance]
                if rank < count * ways:
                    break
                rank -= count * ways
            if distance:
                step, rank = divmod(rank, ways)
                found[position] = sites[position].shell(centre[position], distance)[step]
                radius -= distance
        return found

    def in_ball(self, sites: Sequence[Site], centre: Sequence[int], rank: int) -> list[int]:
        """The member of the ball less its centre with a rank from 0; nearer members have lower ranks."""
        radius = 1
        sizes = self._ways_after[0]
        while rank >= sizes[radius]:
            rank -= sizes[radius]
            radius += 1
        return self.member(sites, centre, radius, rank)


@lru_cache(maxsize=4096)
def spheres(counts: tuple[tuple[int, ...], ...]) -> Spheres:
    """The spheres for given counts; most spaces have only one kind of them. See ``Spheres``."""
    return Spheres(counts)


def below(rng: np.random.Generator, n: int) -> int:
    """A uniform integer from 0 to n less 1, however large n is."""
    if n < _INT64:
        return int(rng.integers(n))
    n_bytes = (n.bit_length() + 7) // 8
    spare_bits = 8 * n_bytes - n.bit_length()
    while (drawn := int.from_bytes(rng.bytes(n_bytes), "big") >> spare_bits) >= n:
        pass
    return drawn


def distinct_below(rng: np.random.Generator, n: int, count: int) -> list[int]:
    """Distinct integers from 0 to n less 1, uniformly and in random order."""
    if n < _INT64:
        return rng.choice(n, count, replace=False).tolist()  # type: ignore[no-any-return]
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[below(rng, n)] = None
    return list(drawn)


def perturbed(
    rng: np.random.Generator, sites: Sequence[Site], centre: Sequence[int], d: int, count: int
) -> list[tuple[int, ...]]:
    """Distinct members of the ball less its centre, each by redrawing d random sites (NA-DARTS).

    A site is redrawn uniformly among its choices at a distance of at most 1, its present one included, so the
    draw is not uniform on the ball. What equals the centre, or came before, is drawn again.

    Args:
        rng: Where the randomness comes from.
        sites: The space's sites.
        centre: Number of the choice at each site.
        d: Sites to redraw; more than there are means all.
        count: Members to draw; no more than can be reached.
    """
    seen = {tuple(centre)}
    found: list[tuple[int, ...]] = []
    while len(found) < count:
        member = list(centre)
        for position in rng.choice(len(sites), min(d, len(sites)), replace=False).tolist():
            near = sites[position].shell(centre[position], 1)
            step = int(rng.integers(len(near) + 1))
            if step < len(near):
                member[position] = near[step]
        drawn = tuple(member)
        if drawn not in seen:
            seen.add(drawn)
            found.append(drawn)
    return found


def _product(left: Sequence[int], right: Sequence[int]) -> list[int]:
    result = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            result[i + j] += a * b
    return result
