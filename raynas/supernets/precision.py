"""The number format that a forward pass computes in."""

from __future__ import annotations

import contextlib
from typing import Any

import torch


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """A context in which forward passes run.

    Args:
        precision: ``float32``; ``bfloat16``; or ``auto``: bfloat16 on a GPU that has it in hardware.
        device: Where they run.
    """
    if precision == "auto":
        on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if on_gpu else "float32"
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
