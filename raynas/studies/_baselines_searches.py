"""One search on a simulated cluster, up to a budget of epochs, and all that it learned on the way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from raynas.analysis.trajectories import Floats, Places

if TYPE_CHECKING:
    import pandas as pd

    from raynas.config import Experiment
    from raynas.search.asktell import (
        Decision,
        Objective,
        Outcome,
        Proposal,
        Report,
        Scheduler,
        SchedulerSpec,
        Score,
        SearchContext,
        Searcher,
        SearcherSpec,
    )
    from raynas.search.standing import Counts
    from raynas.spaces import Architecture, SearchSpace

PATIENCE = 1000  # proposals in a row, all known already, after which a search has nothing new to say


@dataclass(frozen=True, eq=False)
class Trace:
    """What a search learned, reading by reading.

    Attributes:
        proposals: ``(n,)`` whose reading it is; of a neighborhood the reference.
        indices: ``(n,)`` its architecture.
        readings: ``(n,)`` in the objective's unit; NaN for a failure.
        read_at: ``(n,)`` epochs that it had trained.
        epochs: ``(n,)`` epochs that the search had spent.
        seconds: ``(n,)`` simulated seconds that had passed.
        trained: ``(n_trials,)`` epochs of each trial that was begun.
        spent: Epochs spent in all; more than the budget by those of trials under way when it was reached.
        ended_s: Seconds until the budget was spent, or the search ended.
        counts: Of proposals.
    """

    proposals: Places
    indices: Places
    readings: Floats
    read_at: Places
    epochs: Places
    seconds: Floats
    trained: Places
    spent: int
    ended_s: float
    counts: Counts


def search(experiment: Experiment, space: SearchSpace, *, budget: int, workers: int, early: bool) -> Trace:
    """Plays a search until it has spent its budget, or has nothing new to propose.

    Args:
        experiment: What to play; its searcher need not end by itself.
        space: Its search space.
        budget: Epochs.
        workers: Of the simulated cluster.
        early: Take every reading that the scheduler decides by, not only the scores of the searcher.
    """
    from raynas.simulation import Cluster, simulate

    meter = Meter(budget)
    metered = replace(
        experiment,
        searcher=_MeteredSearch(experiment.searcher, meter),
        scheduler=_MeteredSchedule(experiment.scheduler, meter),
    )
    played = simulate(metered, Cluster(workers))
    epochs, seconds, ended_s = meter.spending(played.frame())
    if early:
        heard = np.arange(len(meter.readings))
        rows = [(trial, meter.architectures[trial], value, at) for trial, at, value in meter.readings]
    else:
        heard = np.array([n_read - 1 for n_read, _ in meter.scores], dtype=np.int64)
        rows = [
            (score.proposal_id, score.architecture, score.value, meter.readings[n_read - 1][1])
            for n_read, score in meter.scores
        ]
    return Trace(
        proposals=np.array([proposal for proposal, *_ in rows], dtype=np.int64),
        indices=np.array([-1 if one is None else space.index(one) for _, one, *_ in rows], dtype=np.int64),
        readings=np.array([np.nan if value is None else value for _, _, value, _ in rows], dtype=float),
        read_at=np.array([at for *_, at in rows], dtype=np.int64),
        epochs=epochs[heard],
        seconds=seconds[heard],
        trained=np.array(list(meter.trained.values()), dtype=np.int64),
        spent=meter.spent,
        ended_s=ended_s,
        counts=played.run.counts,
    )


@dataclass(eq=False)
class Meter:
    """Hears all that a search and its scheduler are told, and closes both when the budget is spent.

    Attributes:
        budget: Epochs.
        spent: Epochs that trials have reported.
        readings: Trial, epoch and value of each report that the scheduler was asked about.
        scores: Each with the number of readings before it.
        architectures: Of the proposals that were made.
        trained: Epochs of each trial that reported.
    """

    budget: int
    spent: int = 0
    readings: list[tuple[int, int, float | None]] = field(default_factory=list)
    scores: list[tuple[int, Score]] = field(default_factory=list)
    architectures: dict[int, Architecture | None] = field(default_factory=dict)
    trained: dict[int, int] = field(default_factory=dict)
    _known: set[Architecture | None] = field(default_factory=set)
    _repeated: int = 0

    @property
    def closed(self) -> bool:
        return self.spent >= self.budget or self._repeated >= PATIENCE

    def proposed(self, proposal: Proposal) -> None:
        self._repeated = self._repeated + 1 if proposal.architecture in self._known else 0
        self._known.add(proposal.architecture)
        self.architectures[proposal.id] = proposal.architecture

    def read(self, trial_id: int, epoch: int, value: float | None) -> None:
        self.spent += epoch - self.trained.get(trial_id, 0)
        self.trained[trial_id] = epoch
        self.readings.append((trial_id, epoch, value))

    def spending(self, frame: pd.DataFrame) -> tuple[Places, Floats, float]:
        """Epochs spent and seconds passed at each reading, and the seconds until the budget was spent.

        Args:
            frame: The result frame of the simulation, sorted by proposal and epoch.
        """
        own = frame[frame["status"] != "reused"]
        proposals, epochs = own["proposal"].to_numpy(), own["epoch"].to_numpy()
        seconds = own["time"].astype("int64").to_numpy() / 1e6
        first = np.diff(proposals, prepend=-1) != 0
        gaps = np.where(first, epochs, np.diff(epochs, prepend=0))
        order = np.argsort(seconds, kind="stable")
        passed, total = seconds[order], np.cumsum(gaps[order])
        width = int(epochs.max()) + 1
        keys = [trial * width + epoch for trial, epoch, _ in self.readings]
        at = seconds[np.searchsorted(proposals * width + epochs, keys)]
        end = min(int(np.searchsorted(total, self.budget)), len(total) - 1)
        return total[np.searchsorted(passed, at, side="right") - 1], at, float(passed[end])


@dataclass(frozen=True, eq=False)
class _MeteredSearch:
    base: SearcherSpec
    meter: Meter

    def start(self, context: SearchContext) -> _MeteredSearcher:
        return _MeteredSearcher(self.base.start(context), self.meter)


class _MeteredSearcher:
    def __init__(self, base: Searcher, meter: Meter) -> None:
        self._base, self._meter = base, meter

    def __getattr__(self, name: str) -> Any:
        """What else the searcher has, such as ``share``."""
        return getattr(self._base, name)

    def ask(self) -> Proposal | None:
        proposal = None if self._meter.closed else self._base.ask()
        if proposal is not None:
            self._meter.proposed(proposal)
        return proposal

    def tell(self, proposal_id: int, outcome: Outcome) -> Score | None:
        score = self._base.tell(proposal_id, outcome)
        if score is not None:
            self._meter.scores.append((len(self._meter.readings), score))
        return score


@dataclass(frozen=True, eq=False)
class _MeteredSchedule:
    base: SchedulerSpec
    meter: Meter

    def start(self, objective: Objective) -> _MeteredScheduler:
        return _MeteredScheduler(self.base.start(objective), self.meter, objective)


class _MeteredScheduler:
    def __init__(self, base: Scheduler, meter: Meter, objective: Objective) -> None:
        self._base, self._meter, self._objective = base, meter, objective

    def __getattr__(self, name: str) -> Any:
        """What else the scheduler has, such as ``next_decision`` and ``admits``."""
        return getattr(self._base, name)

    def report(self, trial_id: int, report: Report) -> Decision:
        self._meter.read(trial_id, report.epoch, self._objective.value(report))
        return self._base.report(trial_id, report)

    def next_to_run(self, pending: Collection[int], paused: Collection[int]) -> int | None:
        return None if self._meter.closed else self._base.next_to_run(pending, paused)
