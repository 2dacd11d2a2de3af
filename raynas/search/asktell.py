"""The words that searchers, schedulers and their drivers share: proposals, outcomes, objectives, scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from raynas import seeding
from raynas.errors import InputError
from raynas.search.sweep import Range
from raynas.spaces import Architecture, SearchSpace

Decision = Literal["continue", "pause", "stop"]
Mode = Literal["min", "max"]
FailureKind = Literal["diverged", "error", "lost"]

PRELUDE = "supernet"
"""Role of the proposal that a run begins with where all others need what it makes."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One thing to evaluate.

    Attributes:
        id: Number of the proposal in its run, from 0; the key of all that is recorded of it.
        architecture: What to evaluate; None where the configuration alone is swept.
        config: Dotted paths of the experiment's configuration and the values that they take here.
        role: ``candidate``, in a neighborhood ``reference`` or ``neighbor``, or ``PRELUDE``.
        group: Proposals that are scored together share a group.
        reuses: The earlier proposal of the same content whose outcome this one takes; it is not run.
    """

    id: int
    architecture: Architecture | None
    config: Mapping[str, Any] = field(default_factory=dict)
    role: str = "candidate"
    group: int | None = None
    reuses: int | None = None

    @property
    def is_prelude(self) -> bool:
        """Whether its trial makes what all others need, and is itself never compared with them."""
        return self.role == PRELUDE


@dataclass(frozen=True, slots=True)
class Report:
    """What a workload says after one step.

    Attributes:
        metrics: Name to value; accuracies in percent, losses in nats.
        epoch: Epochs trained so far; 1 after the first.
        cost_s: Seconds this step took.
        architecture: What a workload that searches by itself has come to, in its space's notation; None for
            others.
    """

    metrics: Mapping[str, float]
    epoch: int
    cost_s: float = 0.0
    architecture: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial that ended without a result.

    Attributes:
        kind: ``diverged`` (the architecture's own doing), ``error`` (the program's) or ``lost`` (the
        machine's,
            after all retries).
        message: What happened, in one line.
        epoch: The epoch it happened in; None where it is not known.
        detail: What helps to find the cause, such as a traceback.
    """

    kind: FailureKind
    message: str
    epoch: int | None = None
    detail: str = ""


Outcome = Report | Failure


@dataclass(frozen=True, slots=True)
class Score:
    """A finished candidate with the value that the search compares it by.

    Attributes:
        proposal_id: The candidate, or the reference of a neighborhood.
        architecture: Its architecture.
        value: In the objective's metric and unit; None where the candidate failed.
        n: Number of outcomes in the value.
        n_failed: Number of evaluations that failed.
    """

    proposal_id: int
    architecture: Architecture | None
    value: float | None
    n: int = 1
    n_failed: int = 0


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric a search improves.

    Attributes:
        metric: Name of a reported metric.
        mode: ``max`` for accuracies, ``min`` for losses and errors.
    """

    metric: str
    mode: Mode = "max"

    def value(self, outcome: Outcome) -> float | None:
        """The metric's value; None for a failure and for a value that is not a finite number.

        Raises:
            InputError: The report lacks the metric.
        """
        if isinstance(outcome, Failure):
            return None
        try:
            value = float(outcome.metrics[self.metric])
        except KeyError as error:
            raise InputError(
                f"the trials report no '{self.metric}'; set report.metric to one of "
                f"{', '.join(sorted(outcome.metrics))}"
            ) from error
        return value if math.isfinite(value) else None

    def cost(self, value: float) -> float:
        """The value as a cost: lower is better."""
        return -value if self.mode == "max" else value

    def better(self, value: float, than: float) -> bool:
        """Whether a value is strictly better than another."""
        return self.cost(value) < self.cost(than)


@dataclass(frozen=True)
class SearchContext:
    """What every searcher is started with.

    Attributes:
        space: Where architectures come from.
        objective: The metric to improve.
        seed: The run's seed.
        sweep: Ranges of the keys of the configuration that are swept.
        flops_m: Multiply-adds of a candidate for one image, in millions; None where nothing counts them.
    """

    space: SearchSpace
    objective: Objective
    seed: int = 0
    sweep: Mapping[str, Range] = field(default_factory=dict)
    flops_m: Callable[[Architecture], float] | None = None

    def generator(self, *names: str | int) -> np.random.Generator:
        """A random stream for one named use."""
        return seeding.generator(self.seed, "search", *names)


class Searcher(Protocol):
    """Decides what to evaluate next.

    A searcher is a function of its context, its hyperparameters and the calls it gets, so that a run is
    restored by repeating the recorded calls. ``raynas.search.ordered`` makes one whose proposals do not
    depend on the order in which outcomes arrive.

    A searcher may have more methods: ``hint(proposal_id, report)``: a trial has paused, and may or may not go
    on; ``share(pool)``: the scheduler's pool (``raynas.search.pool``), given at the beginning;
    ``recall(architecture) -> Proposal``, called in place of ``ask`` when a run is restored, for a searcher to
    which asking is costly.
    """

    def ask(self) -> Proposal | None:
        """The next proposal; None while outcomes are missing, and for good when none is missing."""
        ...

    def tell(self, proposal_id: int, outcome: Outcome) -> Score | None:
        """Takes the outcome of a proposal, in any order; gives the score that it completes, if it does."""
        ...


class SearcherSpec(Protocol):
    """The hyperparameters of a searcher; a frozen dataclass in ``raynas/search/searcher/``."""

    def start(self, context: SearchContext) -> Searcher:
        """A searcher at its beginning."""
        ...


class Scheduler(Protocol):
    """Decides which trials go on; a function of the reports it was given, in their order.

    A scheduler may have a method ``next_decision(epoch) -> int | None``: the first epoch after the given one
    at whose report it does anything but continue; None: it never does. A simulation passes over the reports
    in between.

    One that decides who begins has ``admits() -> bool``, whether a new trial may begin now, and ``closed()``,
    by which it hears that none will. It may also have ``admitted(proposal)``, ``resumed(trial_id)`` and
    ``failed(trial_id)``, by which it hears what becomes of trials. All are replayed with a run's journal.
    """

    def report(self, trial_id: int, report: Report) -> Decision:
        """What becomes of a trial that has just reported."""
        ...

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        """The trial to run on a free slot; None to leave the choice open, or where none may run.

        Args:
            pending: Trials that have not run yet.
            paused: Trials that are paused, longest first; looking one up takes the same time however many.
        """
        ...


class SchedulerSpec(Protocol):
    """The hyperparameters of a scheduler; a frozen dataclass in ``raynas/search/scheduler/``."""

    def start(self, objective: Objective) -> Scheduler:
        """A scheduler at its beginning."""
        ...
