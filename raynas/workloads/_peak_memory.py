"""The most memory that a trial has held: the GPU's where it runs on one, else the process's resident set."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Counts from its making on, where the system can; else from the beginning of the process.

    Args:
        device: As torch writes it.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                _CLEAR.write_text("5")  # Linux: the peak resident set is reset to the present one

    def mb(self) -> float:
        """Megabytes (2**20 bytes)."""
        if self._device.startswith("cuda"):
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        with suppress(OSError, IndexError, ValueError):
            # not getrusage, whose peak may be that of the process which started this one
            return int(_STATUS.read_text().split("VmHWM:")[1].split()[0]) / 2**10
        unit = 1 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
