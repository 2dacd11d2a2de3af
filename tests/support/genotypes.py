"""Architectures that papers publish, as test vectors."""

from __future__ import annotations

# The architectures that GeNAS found (its repository): genes of the normal and the reduction cells.
GENAS = {
    "C10 flatness": ("3,6,0,4,4,0,6,6,0,0,0,0,4,3", "5,2,0,6,4,0,3,0,6,0,0,5,0,7"),
    "C10 angle and flatness": ("5,4,4,4,0,4,5,0,0,4,0,0,0,4", "7,7,2,3,0,4,1,0,0,0,0,0,5,6"),
    "C100 flatness": ("3,5,0,4,4,0,0,4,5,0,4,0,0,7", "6,3,2,0,5,0,5,0,7,0,1,1,0,0"),
    "C100 angle and flatness": ("3,5,1,4,0,0,4,0,4,0,4,0,0,5", "6,4,0,7,2,1,3,0,0,0,4,0,0,7"),
}


def genes_of(text: str) -> tuple[int, ...]:
    """The genes of one cell."""
    return tuple(map(int, text.split(",")))
