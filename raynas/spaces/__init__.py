"""Search spaces: architectures as values, with their metric, neighbourhoods, paths and notations."""

from __future__ import annotations

from raynas.spaces.architecture import ABSENT, Architecture
from raynas.spaces.encodings import (
    from_a2m,
    from_genes,
    from_naslib,
    repair_genes,
    to_a2m,
    to_genes,
    to_naslib,
)
from raynas.spaces.loading import get_space
from raynas.spaces.repair import repaired
from raynas.spaces.site import Choose, Edge, Site
from raynas.spaces.space import Law, SearchSpace

__all__ = [
    "ABSENT",
    "Architecture",
    "Choose",
    "Edge",
    "Law",
    "SearchSpace",
    "Site",
    "from_a2m",
    "from_genes",
    "from_naslib",
    "get_space",
    "repair_genes",
    "repaired",
    "to_a2m",
    "to_genes",
    "to_naslib",
]
