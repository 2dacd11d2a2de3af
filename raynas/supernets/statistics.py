"""Batch norm's running statistics: which forward passes they follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def untracked(network: nn.Module) -> Iterator[None]:
    """Forward passes in training mode normalise by their own batch and leave the running statistics alone.

    Args:
        network: Whose batch norms.
    """
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    tracking = [norm for norm in norms if norm.track_running_stats]
    try:
        for norm in tracking:
            norm.track_running_stats = False
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
