"""What a simulated cluster is like, and when its workers fail."""

from __future__ import annotations

import math
from dataclasses import dataclass

from raynas import seeding
from raynas.ranges import require_positive


@dataclass(frozen=True)
class Cluster:
    """A cluster of equal workers, each of which runs one trial at a time.

    Attributes:
        workers: Number of workers.
        start_up_s: Seconds from giving a worker a trial to the trial's first step.
        checkpoint_s: Seconds that writing a checkpoint takes, and reading one.
        mtbf_s: Mean seconds between failures of a worker, exponentially distributed; None: none fails.
        repair_s: Seconds until a failed worker takes trials again.
    """

    workers: int = 1
    start_up_s: float = 0.0
    checkpoint_s: float = 0.0
    mtbf_s: float | None = None
    repair_s: float = 0.0

    def __post_init__(self) -> None:
        require_positive(workers=self.workers)
        for name in ("start_up_s", "checkpoint_s", "repair_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: {getattr(self, name)} is negative or not finite; give 0 or more")
        if self.mtbf_s is not None and not 0 < self.mtbf_s < math.inf:
            raise ValueError(
                f"mtbf_s: {self.mtbf_s} is not positive and finite; leave it out for no failures"
            )


class Failures:
    """When each worker fails.

    Args:
        cluster: Whose workers.
        seed: Of the run.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._draws = seeding.generator(seed, "simulation", "failures")
        self._next = [self._after(0.0) for _ in range(cluster.workers)]

    def next(self, worker: int) -> float:
        """Second at which a worker fails next."""
        return self._next[worker]

    def pass_idle(self, worker: int, now: float) -> float:
        """Failures of a worker while it had nothing to do; gives the second from which it can work."""
        ready = now
        while self._next[worker] <= ready:
            ready = max(ready, self.repaired(worker))
        return ready

    def repaired(self, worker: int) -> float:
        """A worker has failed; gives the second at which it is repaired."""
        at = self._next[worker] + self._cluster.repair_s
        self._next[worker] = self._after(at)
        return at

    def _after(self, at: float) -> float:
        mean = self._cluster.mtbf_s
        return math.inf if mean is None else at + float(self._draws.exponential(mean))
