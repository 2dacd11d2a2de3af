"""What the tests of supernets share: mixings at random, weights carried over, calls counted."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from raynas.supernets.mixing import Mixing


@pytest.fixture
def random_mixing():
    """Softmax weights and all operations alive: ``(supernet, seed, dtype, per_cell) -> Mixing``."""

    def make(supernet, *, seed=0, dtype=torch.float32, per_cell=False):
        generator = torch.Generator().manual_seed(seed)
        alive = supernet.layout.all_alive()
        weights = {}
        for kind, rows in alive.items():
            shape = (supernet.n_cells[kind], *rows.shape) if per_cell else rows.shape
            logits = torch.randn(shape, generator=generator, dtype=dtype)
            weights[kind] = logits.masked_fill(~torch.tensor(rows), -torch.inf).softmax(-1)
        return Mixing(weights, alive)

    return make


@pytest.fixture
def carry_over():
    """Loads one module's tensors into another, which may have weights of batch norm besides."""

    def load(source, target):
        missing, unexpected = target.load_state_dict(source.state_dict(), strict=False)
        assert not unexpected
        for name in missing:
            assert isinstance(target.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d), name

    return load


@pytest.fixture
def counted():
    """Counts the calls of modules from now on: ``modules -> Counter`` by module."""
    handles = []

    def count(modules):
        calls = Counter()
        for module in modules:
            hook = module.register_forward_hook(lambda module, inputs, output: calls.update([module]))
            handles.append(hook)
        return calls

    yield count
    for handle in handles:
        handle.remove()
