"""Small networks and a batch."""

from __future__ import annotations

import pytest
import torch

from raynas.spaces import get_space
from raynas.supernets.nas_bench_201 import NasBench201Network


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    """Eight images of 8x8, and their labels."""
    return torch.randn(8, 1, 8, 8, generator=seeded(1)), torch.arange(8)


@pytest.fixture
def make():
    """A network of NAS-Bench-201 from a cell's text, or from one operation for all edges."""

    def make(cell="nor_conv_3x3", seed=0, **options):
        if "|" not in cell:
            cell = f"|{cell}~0|+|{cell}~0|{cell}~1|+|{cell}~0|{cell}~1|{cell}~2|"
        sizes = {"channels": 4, "cells": 1, "stages": 2, "in_channels": 1} | options
        architecture = get_space("nas_bench_201").parse(cell)
        return NasBench201Network(architecture, **sizes, generator=seeded(seed))

    return make
