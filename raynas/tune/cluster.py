"""The cluster that a run uses: one that is there, or one made for the run on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import ray

from raynas.config import Resources
from raynas.errors import InputError

LOCAL = "local"

# Hangs where something else than Ray listens, and answers in a second or two where it is Ray.
_PROBE = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[bool]:
    """Connects to a cluster, or starts one on this machine that ends with the block.

    Args:
        address: Of a running cluster, ``auto`` to look for one on this machine; None: the one that
            RAY_ADDRESS names, else a new one. A connection that this process has already is used as it is.

    Yields:
        Whether the cluster cannot grow.

    Raises:
        InputError: There is no cluster at the address.
    """
    if ray.is_initialized():
        yield address is None
        return
    wanted = address or os.environ.get("RAY_ADDRESS") or LOCAL
    _reach(wanted)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if wanted == LOCAL:
        options["include_dashboard"] = False
    try:
        ray.init(address=wanted, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(wanted, error) from error
    if threading.current_thread() is threading.main_thread():
        # Ray ends the process at SIGTERM, which batch systems send; Tune ends a run in order at SIGINT
        signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield wanted == LOCAL
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Refuses an address where nothing listens; Ray itself would try for minutes and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
        if not address.startswith("ray://"):
            probe = [sys.executable, "-c", _PROBE, address]
            subprocess.run(probe, timeout=30, capture_output=True, check=False)  # noqa: S603 -- our own code
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(
        f"no Ray cluster answers at {address}: {reason}; start one with 'ray start --head', give its "
        "address as --address HOST:PORT, or leave --address out to use this machine"
    )


def slots(resources: Resources, *, fixed: bool) -> int:
    """Number of trials that the cluster holds at a time, at least 1.

    Args:
        resources: Of one trial.
        fixed: Whether the cluster cannot grow, so that a trial that does not fit will never run.

    Raises:
        InputError: A fixed cluster cannot hold a single trial.
    """
    there: dict[str, float] = ray.cluster_resources()
    wanted = {"CPU": resources.cpu, "GPU": resources.gpu, **resources.custom}
    lacking = [name for name, amount in wanted.items() if amount > there.get(name, 0)]
    if lacking and fixed:
        name = lacking[0]
        key = name.lower() if name in ("CPU", "GPU") else f"custom.{name}"
        raise InputError(
            f"a trial wants {wanted[name]:g} {name} and there are {there.get(name, 0):g}; "
            f"use -o tune.resources.{key}={there.get(name, 0):g}, or join a larger cluster with --address"
        )
    return max(1, min(int(there.get(name, 0) / amount) for name, amount in wanted.items() if amount > 0))
