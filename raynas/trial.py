"""What one trial is given, what it runs, and how it says that it diverged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

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
    """

    space: str
    architecture: Architecture | None
    dataset: Any
    seed: int
    device: str = "cpu"
    n_threads: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)


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


class Workload(Protocol):
    """A trial under way."""

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


class WorkloadSpec(Protocol):
    """The options of a workload; a frozen dataclass in ``raynas/workloads/``."""

    def start(self, trial: Trial) -> Workload:
        """A trial at its beginning."""
        ...
