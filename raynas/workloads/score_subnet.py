"""Scores one architecture by the weights it has in a trained supernet, by any metric of flatness.

What GeNAS (Jeong et al., IJCAI 2023), RLNAS (Zhang et al., CVPR 2021) and SPOS (Guo et al., ECCV 2020) search
by. The supernet is the experiment's ``supernet``, or one that the same run trains first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from raynas.errors import InputError
from raynas.flatness.metric.flatness import Flatness
from raynas.lookup import Slot
from raynas.oneshot.about import find, read_about, require_whole
from raynas.oneshot.settings import Scoring
from raynas.results import RESERVED
from raynas.workloads.train_supernet import TrainSupernet

if TYPE_CHECKING:
    from raynas.benchmarks import Table
    from raynas.spaces import Architecture, SearchSpace
    from raynas.storage import Folder
    from raynas.trial import Trial
    from raynas.workloads._scoring import SubnetScore

SCORE = "subnet_score"
"""What every metric's value is called beside its own name, so that experiments differ in the metric alone."""


@dataclass(frozen=True)
class ScoreSubnet:
    """One step: recalibrates batch norm along the architecture's path, and measures.

    Reports ``subnet_score``, the metric's value, all that the metric reports by its own names, and
    ``flops_m``; where the experiment names a table, also what the table knows of the architecture, as
    ``table_valid_accuracy_pct`` and ``table_test_accuracy_pct``.

    Attributes:
        metric: What is measured; the higher, the better.
        training: How the run trains the supernet in its first trial; None: the experiment's ``supernet`` is
            trained already.
        scoring: Images of the recalibration and of the measurement.
        table_dataset: What the table's trainings were on; None where it has one dataset only.
    """

    needs_dataset: ClassVar[bool] = True
    needs_supernet: ClassVar[bool] = True
    table_metrics: ClassVar[tuple[str, ...]] = ("table_valid_accuracy_pct", "table_test_accuracy_pct")

    metric: Annotated[Any, Slot("raynas.flatness.metric")] = field(default_factory=Flatness)
    training: TrainSupernet | None = None
    scoring: Scoring = field(default_factory=Scoring)
    table_dataset: str | None = None

    @property
    def prelude(self) -> TrainSupernet | None:
        """What a run's first trial runs; see ``WorkloadSpec``."""
        return self.training

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names in a report; empty where the metric does not say what it reports."""
        of_metric: tuple[str, ...] = getattr(self.metric, "reports", ())
        return (SCORE, *of_metric, "flops_m", *self.table_metrics) if of_metric else ()

    @property
    def last_epoch(self) -> int:
        """The only one."""
        return 1

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        if taken := sorted(RESERVED & set(self.metrics)):
            yield "metric", f"reports '{taken[0]}', which is a column of the result frame; rename it"
        for name in ("metric", "training"):
            of_part = getattr(getattr(self, name), "problems", None)
            if of_part is not None:
                yield from ((f"{name}.{inner}", message) for inner, message in of_part(space))

    def supernet_problems(self, supernet: str, space: SearchSpace, dataset: Any) -> Iterator[tuple[str, str]]:
        """Why a trained supernet cannot be scored with, as (key of the experiment, message).

        Args:
            supernet: Path or URI of a run's directory or of the supernet's own.
            space: Where the candidates come from.
            dataset: A component of ``raynas.data.dataset``; None where the experiment lacks one.
        """
        try:
            place = only(supernet)
            about = read_about(place)
            about.require(space=space.name, dataset=dataset, at=supernet)
            require_whole(place, about.fingerprint)
        except InputError as error:
            yield "supernet", str(error)

    def supernet_fingerprint(self, supernet: str) -> str:
        """Tells a trained supernet from all others.

        Args:
            supernet: Path or URI of a run's directory or of the supernet's own.

        Raises:
            InputError: There is none, or there are several.
        """
        return read_about(only(supernet)).fingerprint

    def table_problems(self, table: Table, metric: str) -> Iterator[tuple[str, str]]:
        """What a table cannot answer, as (field, message)."""
        try:
            table.part(self.table_dataset, None)
        except InputError as error:
            yield "table_dataset", str(error)

    def flops_counter(self, trial: Trial) -> Callable[[Architecture], float]:
        """What counts a candidate's multiply-adds for one image, in millions.

        Args:
            trial: Any of the experiment; its architecture is not used.

        Raises:
            InputError: The supernet or the dataset cannot be read.
        """
        from raynas.workloads._scoring import flops_counter  # so that checking a config loads no torch

        return flops_counter(self, trial)

    def start(self, trial: Trial) -> SubnetScore:
        """A measurement to be made.

        Raises:
            InputError: The trial lacks an architecture, a dataset or a supernet, or they do not fit.
        """
        from raynas.workloads._scoring import SubnetScore  # so that checking a config loads no torch

        return SubnetScore(self, trial)


def only(supernet: str) -> Folder:
    """The directory of the one supernet at a place.

    Args:
        supernet: Path or URI of a run's directory or of the supernet's own.

    Raises:
        InputError: There is none, or there are several.
    """
    found = find(supernet)
    if len(found) > 1:
        names = ", ".join(place.uri for place in found)
        raise InputError(f"{supernet}: holds {len(found)} supernets; name one of {names}")
    return found[0]
