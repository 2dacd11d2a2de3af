"""The values that describe one experiment; their fields are the keys of a configuration file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from raynas import seeding
from raynas.differentiable.method import Method
from raynas.lookup import Slot
from raynas.ranges import require_positive
from raynas.search.asktell import (
    Objective,
    Proposal,
    SchedulerSpec,
    SearchContext,
    Searcher,
    SearcherSpec,
)
from raynas.search.prelude import WithPrelude
from raynas.search.scheduler.fifo import Fifo
from raynas.search.searcher.sweep import Sweep
from raynas.search.sweep import ranges
from raynas.spaces import Architecture, get_space
from raynas.trial import Trial, WorkloadSpec


@dataclass(frozen=True)
class Resources:
    """What one trial holds while it runs.

    Attributes:
        cpu: CPU cores; also the number of threads that a trial computes with.
        gpu: GPUs; a fraction lets trials share one.
        custom: Amounts of the cluster's own resources by their names.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    custom: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.custom:
            if name.lower() in ("cpu", "gpu"):
                raise ValueError(f"custom: {name} has a key of its own; give {name.lower()} beside custom")
        custom = {f"custom: {name}": amount for name, amount in self.custom.items()}
        for name, amount in {"cpu": self.cpu, "gpu": self.gpu, **custom}.items():
            if not math.isfinite(amount):
                raise ValueError(f"{name}: {amount} is not a finite number; give 0 or more")
            if amount < 0:
                raise ValueError(f"{name}: {amount} is negative; give 0 or more")
        if self.cpu == 0 and self.gpu == 0:
            raise ValueError("cpu: a trial needs some CPU or GPU; give cpu or gpu above 0")


@dataclass(frozen=True)
class TuneOptions:
    """How Ray Tune runs the trials; nothing here changes what they find.

    Attributes:
        max_concurrent: Trials at a time; None: as many as the cluster holds.
        resources: Of each trial.
        max_failures: Times that a trial whose worker was lost is started again from its last checkpoint.
        checkpoint_every: Epochs between checkpoints of a trial; 0: none.
        keep_checkpoints: Whether the last checkpoint of a trial stays when the trial has ended.
        loggers: Loggers of Ray Tune to switch on.
    """

    max_concurrent: int | None = None
    resources: Resources = field(default_factory=Resources)
    max_failures: int = 2
    checkpoint_every: int = 1
    keep_checkpoints: bool = False
    loggers: tuple[Literal["csv", "json", "mlflow", "tensorboard", "wandb"], ...] = ()

    def __post_init__(self) -> None:
        if self.max_concurrent is not None:
            require_positive(max_concurrent=self.max_concurrent)
        for name in ("max_failures", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative; give 0 or more")


@dataclass(frozen=True)
class Experiment:
    """One experiment: what is searched, how, on what and by which measure.

    Attributes:
        search_space: Name from ``search_spaces/``, or the path of a YAML file.
        workload: What one trial runs.
        searcher: Decides what to evaluate; by default every combination of ``sweep``.
        report: The metric that the search improves, and whether more of it is better.
        dataset: What the trials train on; None for workloads that need none.
        table: Benchmark table that trials look results up in, by name or path; None for workloads that need
            none.
        supernet: Trained supernet that trials take weights from: path or URI of the run that trained it, or
            of its own directory; None for workloads that need none, or train one first.
        scheduler: Decides which trials go on.
        seed: Of everything random in the run.
        method: The differentiable search of workloads that run one.
        sweep: Keys of this configuration by their dotted paths, and what each takes: ``{grid: [values]}``,
            ``{uniform: [low, high]}``, ``{log_uniform: [low, high]}`` or ``{integers: [low, high]}``.
        batch: Proposals that one trial evaluates, one after another; for evaluations of less than a second.
        tune: How Ray Tune runs the trials.
        smoke: Values by dotted path that ``--smoke`` sets, beyond the small counts that it sets by itself.
    """

    search_space: str
    workload: Annotated[WorkloadSpec, Slot("raynas.workloads")]
    report: Objective
    searcher: Annotated[SearcherSpec, Slot("raynas.search.searcher")] = field(default_factory=Sweep)
    dataset: Annotated[Any, Slot("raynas.data.dataset")] | None = None
    table: str | None = None
    supernet: str | None = None
    method: Method | None = None
    sweep: Mapping[str, Any] = field(default_factory=dict, hash=False)
    scheduler: Annotated[SchedulerSpec, Slot("raynas.search.scheduler")] = field(default_factory=Fifo)
    seed: int = 0
    batch: int = 1
    tune: TuneOptions = field(default_factory=TuneOptions)
    smoke: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_positive(batch=self.batch)
        try:
            ranges(self.sweep)
        except ValueError as error:
            raise ValueError(f"sweep: {error}") from error
        if self.batch > 1 and not isinstance(self.scheduler, Fifo):
            raise ValueError(
                f"batch: {self.batch} proposals a trial cannot be stopped one by one, as the scheduler does; "
                "use batch: 1, or scheduler: fifo"
            )

    @property
    def prelude(self) -> WorkloadSpec | None:
        """What a trial runs before all others, to make what they need; None where nothing has to be made."""
        found: WorkloadSpec | None = getattr(self.workload, "prelude", None)
        return found

    def workload_of(self, proposal: Proposal) -> WorkloadSpec:
        """What the trial of a proposal runs."""
        prelude = self.prelude if proposal.is_prelude else None
        return self.workload if prelude is None else prelude

    def trial(self, proposal: Proposal, *, seeded: bool = True, made: str | None = None) -> Trial:
        """What the workload is given to evaluate a proposal.

        Args:
            proposal: What to evaluate.
            seeded: Whether the workload uses a seed; one that does not is spared its making.
            made: Where the artifacts of the prelude lie, in a run that begins with one.
        """
        resources = self.tune.resources
        seed = 0
        if seeded:
            # trials of a sweep share their random numbers, so that they differ in what is swept alone
            name = "sweep" if proposal.architecture is None else str(proposal.architecture)
            seed = seeding.derive(self.seed, "trial", name)
        return Trial(
            space=self.search_space,
            architecture=proposal.architecture,
            dataset=self.dataset,
            seed=seed,
            device="cuda" if resources.gpu > 0 else "cpu",
            n_threads=max(1, int(resources.cpu)),
            config=proposal.config,
            table=self.table,
            method=self.method,
            supernet=self.supernet if self.prelude is None else made,
            run_seed=self.seed,
        )

    def search(self) -> Searcher:
        """The search at its beginning."""
        started = self.searcher.start(self.context())
        return started if self.prelude is None else WithPrelude(started)

    def context(self) -> SearchContext:
        """What the searcher is started with."""
        counter = getattr(self.workload, "flops_counter", None)
        return SearchContext(
            get_space(self.search_space),
            self.report,
            self.seed,
            ranges(self.sweep),
            None if counter is None else _Flops(lambda: counter(self.trial(Proposal(0, None), seeded=False))),
        )


class _Flops:
    """Counts multiply-adds by what is made at the first count: few searches ask, and it loads torch."""

    def __init__(self, make: Callable[[], Callable[[Architecture], float]]) -> None:
        self._make = make
        self._count: Callable[[Architecture], float] | None = None

    def __call__(self, architecture: Architecture) -> float:
        if self._count is None:
            self._count = self._make()
        return self._count(architecture)
