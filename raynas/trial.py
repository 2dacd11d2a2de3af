"""What one trial is given, what it runs, and how it says that it diverged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raynas.errors import RaynasError

if TYPE_CHECKING:
    from raynas.search.asktell import Report
    from raynas.spaces import Architecture


@dataclass(frozen=True)
class Trial:
    """What one run of a workload is given.

    Attributes:
        space: Name of the search space.
        architecture: What to evaluate; None where the workload finds one itself.
        dataset: A component of ``raynas.data.dataset``; None for a workload that needs no images.
        seed: All of the trial's randomness; trials of the same seed share data order and augmentation.
        device: As torch writes it: ``cpu``, ``cuda``, ``cuda:1``.
        n_threads: CPU threads of this trial.
        config: Dotted paths of the experiment's configuration and the values that they take here.
        table: Name or path of the experiment's table, for a workload that looks something up.
        method: The experiment's differentiable search, for a workload that runs one.
        supernet: Where a trained supernet lies, for a workload that needs one: a path or URI of its
            directory, or of a run's that holds it.
        run_seed: For what all trials of a run have in common, such as noise that they are compared under.
    """

    space: str
    architecture: Architecture | None
    dataset: Any
    seed: int
    device: str = "cpu"
    n_threads: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    table: str | None = None
    method: Any = None
    supernet: str | None = None
    run_seed: int = 0


class Diverged(RaynasError):  # noqa: N818 - says what the architecture did, which is no error of the program's
    """A loss became infinite or not a number; the architecture's own doing, so nothing to try again.

    Args:
        message: Which loss, and what it became.
        epoch: The epoch it happened in; 1 is the first.
    """

    def __init__(self, message: str, epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch

    def __reduce__(self) -> tuple[type[Diverged], tuple[str, int]]:
        return type(self), (str(self), self.epoch)


def require_finite(name: str, value: float, epoch: int) -> None:
    """Ends a trial whose loss is not a finite number.

    Args:
        name: Of the loss.
        value: What it became.
        epoch: In which epoch; 1 is the first.

    Raises:
        Diverged: It is infinite or not a number.
    """
    if not math.isfinite(value):
        raise Diverged(f"{name} is {value} in epoch {epoch}", epoch)


class Workload(Protocol):
    """A trial under way.

    One that makes more than numbers has a method ``artifacts() -> Mapping[str, bytes]``, which is asked once,
    when it is done, for files by their names. They lie in the run's folder before the last report is
    recorded, so that a finished trial always has them.
    """

    @property
    def done(self) -> bool:
        """Whether there is no further step."""
        ...

    def step(self) -> Report:
        """Runs one epoch, or whatever the workload counts as one.

        Raises:
            Diverged: A loss is not a finite number.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that going on takes, in tensors and plain containers; later steps do not change it."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken, bit for bit on the same machine."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """Trainings that are known from beginning to end, to be played back; one a row.

    Attributes:
        epochs: ``(n,)`` epochs of their reports, ascending.
        elapsed_s: ``(n_rows, n)`` seconds of training until each report.
        metrics: Of each metric ``(n_rows, n)`` values; NaN where a report lacks it.
    """

    epochs: NDArray[np.int64]
    elapsed_s: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]


@dataclass(slots=True)
class Recording:
    """One training of several that are known.

    Attributes:
        of: All of them.
        row: Which.
    """

    of: Recordings
    row: int

    def __len__(self) -> int:
        return len(self.of.epochs)

    def report(self, place: int) -> Report:
        """One report, its metrics read as they are asked for; 0 is the first."""
        from raynas.search.asktell import Report

        elapsed = self.of.elapsed_s[self.row]
        spent = elapsed[place] - elapsed[place - 1] if place else elapsed[0]
        return Report(_Place(self.of.metrics, self.row, place), int(self.of.epochs[place]), float(spent))


class _Place(Mapping[str, float]):
    """The metrics of one report."""

    __slots__ = ("_metrics", "_place", "_row")

    def __init__(self, metrics: Mapping[str, NDArray[np.float64]], row: int, place: int) -> None:
        self._metrics, self._row, self._place = metrics, row, place

    def __getitem__(self, name: str) -> float:
        value = float(self._metrics[name][self._row, self._place])
        if math.isnan(value):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        place = self._row, self._place
        return (name for name, values in self._metrics.items() if not math.isnan(values[place]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


class WorkloadSpec(Protocol):
    """The options of a workload; a frozen dataclass in ``raynas/workloads/``.

    One whose trainings are known beforehand has a method ``recording(trial) -> Recording``, too, and can be
    simulated; a false ``uses_seed`` spares it the making of seeds. ``changeable`` holds dotted paths of the
    configuration below which a trial under way may change numbers: a state taken before can be loaded after.

    One whose trials all need what another trial makes first, such as a trained supernet, has an attribute
    ``prelude: WorkloadSpec | None``: a run then begins with one trial of that workload, whose artifacts the
    others find at ``Trial.supernet``. None: they find there what the experiment's ``supernet`` says; with a
    method ``supernet_fingerprint(supernet) -> str`` a run goes on with none but the one that it began with.

    One that has a method ``flops_counter(trial) -> Callable[[Architecture], float]`` lets searchers know the
    multiply-adds of a candidate for one image, in millions.
    """

    def start(self, trial: Trial) -> Workload:
        """A trial at its beginning."""
        ...
