"""What all tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors run several times faster on one thread."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    yield
