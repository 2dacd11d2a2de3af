"""What a differentiable search has come to, compared to the last bit."""

from __future__ import annotations

import torch


def state(bilevel):
    return {**bilevel.alpha, **bilevel.supernet.state_dict()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
