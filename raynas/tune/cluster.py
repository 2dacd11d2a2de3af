"""The cluster that a run uses: one that is there, or one made for the run on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import ray

from raynas.config import Resources
from raynas.errors import InputError

LOCAL = "local"


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connects to a cluster, or starts one on this machine that ends with the block.

    Args:
        address: Of a running cluster, ``auto`` to look for one on this machine; None: the one that
            RAY_ADDRESS names, else a new one. A connection that this process has already is used as it is.

    Raises:
        InputError: There is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    wanted = address or os.environ.get("RAY_ADDRESS") or LOCAL
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if wanted == LOCAL:
        options["include_dashboard"] = False
    try:
        ray.init(address=wanted, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"no Ray cluster answers at {wanted}: {reason}; start one with 'ray start --head', give its "
            "address as --address HOST:PORT, or leave --address out to use this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


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
