"""Searches an architecture by gradients: the experiment's ``method`` on a supernet; one step is one epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from raynas.differentiable.method import CHANGEABLE
from raynas.lookup import Slot, available
from raynas.ranges import require_choice, require_positive, require_positive_or_none
from raynas.supernets.skeleton import SKELETONS, customary, skeleton_problems

if TYPE_CHECKING:
    from raynas.benchmarks import Table
    from raynas.differentiable.method import Method
    from raynas.spaces import SearchSpace
    from raynas.trial import Trial
    from raynas.workloads._searching import Searching

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class DifferentiableSearch:
    """A supernet trained together with its architecture parameters.

    Where the experiment names a table, every report says how the architecture derived so far does in it.

    Attributes:
        skeleton: How cells are put together; None: as the search space's kind does by custom.
        precision: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 on a GPU that has it.
        eval_batch_size: Images a batch at validation.
        max_batches: Batches that an epoch and an evaluation end with, to try things out; None: all.
        table_dataset: What the table's trainings were on; None where it has one dataset only.
        hessian_every: Epochs from one measurement of the validation loss's greatest Hessian eigenvalue by the
            logits to the next, the first after the first epoch; None: measured where a stopping rule of the
            method asks for it.
        cuda_graphs: Whether passes through the supernet that recur are captured as CUDA graphs, so that a GPU
            is not kept waiting by Python. Takes more memory; without effect on a CPU, where passes draw at
            random, and where they do not recur (GDAS). Not measured on a GPU yet.
    """

    needs_dataset: ClassVar[bool] = True
    needs_method: ClassVar[bool] = True
    needs_architecture: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = (
        "train_loss",
        "train_accuracy_pct",
        "valid_loss",
        "valid_accuracy_pct",
        "learning_rate",
        "parameters_m",
        "theta_entropy",
        "skip_share",
        "hessian_eigenvalue",
        "derived_valid_accuracy_pct",
        "derived_test_accuracy_pct",
        "peak_memory_mb",
    )

    changeable: ClassVar[tuple[str, ...]] = tuple(f"method.{path}" for path in CHANGEABLE)
    table_metrics: ClassVar[tuple[str, ...]] = ("derived_valid_accuracy_pct", "derived_test_accuracy_pct")

    skeleton: Annotated[Any, Slot(SKELETONS)] | None = None
    precision: Precision = "float32"
    eval_batch_size: int = 512
    max_batches: int | None = None
    table_dataset: str | None = None
    hessian_every: int | None = None
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        require_positive(eval_batch_size=self.eval_batch_size)
        require_positive_or_none("max_batches", self.max_batches, none="all")
        require_positive_or_none("hessian_every", self.hessian_every, none="never")
        require_choice("precision", self.precision, get_args(Precision))

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        yield from skeleton_problems(self.skeleton, space.kind)

    def method_problems(self, method: Method, metric: str) -> Iterator[tuple[str, str]]:
        """What cannot be measured of a method's searches, and a metric that is not, as (field, message)."""
        if metric == "hessian_eigenvalue" and 1 not in (
            self.hessian_every,
            getattr(method.stopping, "every", None),
        ):
            yield "hessian_every", "has to be 1, so that every epoch reports report.metric, the eigenvalue"
        twice = getattr(method.relaxation, "twice_differentiable", True)
        if self.hessian_every is not None and not twice:
            yield (
                "hessian_every",
                "takes second derivatives, and the method's relaxation has first ones only; leave it out",
            )

    def width(self, space: SearchSpace) -> int | None:
        """Channels of the narrowest cell; None where there is no skeleton, or one that has no such."""
        known = self.skeleton is not None or space.kind in available(SKELETONS)
        skeleton = customary(self.skeleton, space.kind) if known else None
        channels: int | None = getattr(skeleton, "channels", None)
        return channels

    def table_problems(self, table: Table, metric: str) -> Iterator[tuple[str, str]]:
        """What a table cannot answer, as (field, message)."""
        from raynas.errors import InputError

        try:
            table.part(self.table_dataset, None)
        except InputError as error:
            yield "table_dataset", str(error)

    def start(self, trial: Trial) -> Searching:
        """A search before its first epoch.

        Raises:
            InputError: The trial lacks a dataset or a method.
        """
        from raynas.workloads._searching import Searching  # so that checking a config loads no torch

        return Searching(self, trial)
