"""Spaces for the tests: every shipped one by name, and two small ones of a user's own."""

from __future__ import annotations

import pytest

from raynas.spaces import get_space

UNEVEN_DARTS = """
kind: darts
nodes: 2
operations: [none, a, b, c]
edges:
  normal:
    2<-0: [none, a, b]
    2<-1: [a]
    3<-0: [a, b, c]
    3<-1: [b]
    3<-2: [c, a]
  reduce:
    2<-0: [a, b]
    2<-1: [none, b, c]
    3<-0: [a, b]
    3<-1: [a, b]
    3<-2: [c, none, b]
"""

SMALL_CELL = """
kind: nas_bench_201
nodes: 3
operations: [none, skip_connect, conv]
edges:
  1<-0: [conv, skip_connect]
  2<-0: [none, skip_connect, conv]
  2<-1: [conv]
"""


def _written(folder, name, text):
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return get_space(str(path))


@pytest.fixture(scope="session")
def uneven_darts(tmp_path_factory):
    """DARTS-like, 2 nodes, lists of different lengths, so different numbers of neighbours; 1,056 in all."""
    return _written(tmp_path_factory.mktemp("spaces"), "uneven_darts", UNEVEN_DARTS)


@pytest.fixture(scope="session")
def small_cell(tmp_path_factory):
    """NAS-Bench-201-like, 3 nodes, lists of different lengths: 6 architectures."""
    return _written(tmp_path_factory.mktemp("spaces"), "small_cell", SMALL_CELL)
