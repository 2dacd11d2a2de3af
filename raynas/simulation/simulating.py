"""Plays a search on a simulated cluster: the searcher, scheduler and run are those that Ray Tune drives.

Time passes as the recorded trainings say. Between two epochs at which the scheduler decides nothing happens,
so that nothing is computed: an event is a decision, an end or a failure. Each costs the time of a few heap
operations, however many trials there are.
"""

from __future__ import annotations

import gc
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raynas.config import Experiment
from raynas.errors import InputError
from raynas.search.asktell import Failure
from raynas.search.run import Run
from raynas.search.standing import Assignment
from raynas.simulation.cluster import Cluster, Failures
from raynas.simulation.ledger import Ledger
from raynas.spaces import get_space
from raynas.trial import Recording

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Simulation:
    """What a simulated run came to.

    Attributes:
        run: At its end.
        elapsed_s: Simulated seconds from beginning to end.
        busy_s: Simulated seconds that workers spent on trials, start-up and checkpoints among them.
        n_events: Decisions, ends and failures.
        n_reports: Reports.
        n_worker_failures: Failures of workers that had a trial.
    """

    run: Run
    elapsed_s: float
    busy_s: float
    n_events: int
    n_reports: int
    n_worker_failures: int
    _frame: Callable[[], pd.DataFrame]

    def frame(self) -> pd.DataFrame:
        """The result frame; its times count from 1970, the beginning of the simulation."""
        return self._frame()


def simulate(
    experiment: Experiment,
    cluster: Cluster,
    *,
    name: str = "simulation",
    on_event: Callable[[Simulation], None] | None = None,
) -> Simulation:
    """Plays an experiment to its end.

    Args:
        experiment: What to run; its workload's trainings must be known beforehand, as a table's are. Of
            ``tune`` count ``max_concurrent``, ``max_failures`` and ``checkpoint_every``; ``batch`` does not,
            since a simulated trial costs nothing.
        cluster: Where.
        name: Of the run, in its frame.
        on_event: Called now and then, every few thousand events, with the state so far.

    Raises:
        InputError: The workload trains for real, the scheduler is Ray Tune's, keys are swept, or no time
            would ever pass.
    """
    if getattr(experiment.scheduler, "needs_ray", False):
        raise InputError(
            "scheduler: Ray Tune's own schedulers run on Ray alone; use another, such as scheduler: asha"
        )
    if not hasattr(experiment.workload, "recording"):
        raise InputError(
            f"workload: {type(experiment.workload).__name__} trains for real, and a simulation plays what is "
            "known; use workload: query_table with a table"
        )
    if experiment.sweep:
        raise InputError("sweep: a simulation plays one configuration; leave it out, or use raynas run")
    player = _Player(experiment, cluster)
    with _without_garbage_collection():
        player.play(None if on_event is None else lambda: on_event(player.state(name)))
    return player.state(name)


@dataclass(slots=True)
class _Trial:
    """Where the training of a proposal stands."""

    recording: Recording
    elapsed: list[float]
    epochs: list[int]
    next: int = 0
    reported: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Stretch:
    """A trial on a worker until the next event."""

    proposal_id: int
    began: float
    offset: float
    stop: int


class _Player:
    def __init__(self, experiment: Experiment, cluster: Cluster) -> None:
        self._experiment, self._cluster = experiment, cluster
        space = get_space(experiment.search_space)
        context = experiment.context()
        scheduler = experiment.scheduler.start(experiment.report)
        self._ledger = Ledger()
        self._space = space
        self._run = Run(
            experiment.searcher.start(context),
            scheduler,
            experiment.report,
            self._ledger,
            clock=lambda: self._now,
        )
        self._next_decision: Callable[[int], int | None] = getattr(
            scheduler, "next_decision", lambda epoch: epoch + 1
        )
        self._record: Callable[[Any], Recording] = experiment.workload.recording  # type: ignore[attr-defined]
        self._seeded: bool = getattr(experiment.workload, "uses_seed", True)
        self._now = self._busy = 0.0
        self._n_events = self._n_failures = 0
        n_workers = min(cluster.workers, experiment.tune.max_concurrent or cluster.workers)
        self._idle = list(range(n_workers))
        self._fails = Failures(cluster, experiment.seed)
        self._events: list[tuple[float, int, int]] = []
        self._stretches: dict[int, _Stretch] = {}
        self._trials: dict[int, _Trial] = {}
        self._retries: deque[Assignment] = deque()
        self._last_epochs: tuple[Any, list[int]] = (None, [])

    def state(self, name: str) -> Simulation:
        ledger, run, space = self._ledger, self._run, self._space
        return Simulation(
            run,
            self._now,
            self._busy,
            self._n_events,
            ledger.n_reports,
            self._n_failures,
            lambda: ledger.frame(run, name, space),
        )

    def play(self, on_event: Callable[[], None] | None) -> None:
        self._hand_out()
        while self._events:
            self._now, _, worker = heapq.heappop(self._events)
            stretch = self._stretches.pop(worker, None)
            if stretch is not None:
                self._n_events += 1
                self._happened(worker, stretch)
                if on_event is not None and self._n_events % 10_000 == 0:
                    on_event()
            else:
                heapq.heappush(self._idle, worker)
            self._hand_out()

    def _hand_out(self) -> None:
        """Work for every idle worker, while there is work: lost trials first, then paused, then new ones."""
        while self._idle:
            assignment = self._next_assignment()
            if assignment is None:
                return
            self._start(heapq.heappop(self._idle), assignment)

    def _next_assignment(self) -> Assignment | None:
        if self._retries:
            return self._retries.popleft()
        proposal_id = self._run.next_to_resume()
        if proposal_id is not None:
            return self._run.resume(proposal_id)
        if taken := self._run.take(1):
            return taken[0]
        # to hear that nobody else is coming may move the scheduler to let others go on
        proposal_id = self._run.next_to_resume()
        return None if proposal_id is None else self._run.resume(proposal_id)

    def _start(self, worker: int, assignment: Assignment) -> None:
        proposal_id = assignment.proposal.id
        trial = self._trials.get(proposal_id)
        if trial is None:
            recording = self._record(self._experiment.trial(assignment.proposal, seeded=self._seeded))
            elapsed = self._elapsed(recording)
            if not elapsed[-1] + self._cluster.start_up_s > 0:
                raise InputError(
                    "workload: its trainings take no time, so none would pass; set workload.cost.epoch_s to "
                    "the seconds of an epoch"
                )
            trial = self._trials[proposal_id] = _Trial(recording, elapsed, self._epochs(recording))
        begins = self._fails.pass_idle(worker, self._now) + self._cluster.start_up_s
        if trial.next:
            begins += self._cluster.checkpoint_s
        self._go_on(worker, proposal_id, trial, begins)

    def _go_on(self, worker: int, proposal_id: int, trial: _Trial, begins: float) -> None:
        """Until the next decision, the end of the training, or the failure of the worker."""
        before = trial.elapsed[trial.next - 1] if trial.next else 0.0
        place = self._decision_place(trial)
        offset = begins - before
        at = offset + trial.elapsed[place]
        stretch = _Stretch(proposal_id, self._now, offset, place + 1)
        if (fails := self._fails.next(worker)) < at:
            at = max(fails, self._now)
            stretch.stop = -1
        self._stretches[worker] = stretch
        heapq.heappush(self._events, (at, self._n_events, worker))

    def _decision_place(self, trial: _Trial) -> int:
        last = len(trial.epochs) - 1
        due = self._next_decision(trial.epochs[trial.next - 1] if trial.next else 0)
        if due is None or due > trial.epochs[last]:
            return last
        place = trial.next
        while trial.epochs[place] < due:
            place += 1
        return place

    def _happened(self, worker: int, stretch: _Stretch) -> None:
        trial = self._trials[stretch.proposal_id]
        self._busy += self._now - stretch.began
        if stretch.stop < 0:
            self._failed(worker, stretch, trial)
            return
        self._reported(stretch, trial, stretch.stop)
        trial.next = stretch.stop
        done = stretch.stop == len(trial.epochs)
        report = trial.recording.report(stretch.stop - 1)
        decision = self._run.report(stretch.proposal_id, report, done=done)
        if decision == "continue":
            self._go_on(worker, stretch.proposal_id, trial, self._now)
        else:
            if decision == "stop":
                del self._trials[stretch.proposal_id]
            saving = self._cluster.checkpoint_s if decision == "pause" else 0.0
            self._busy += saving
            self._free(worker, saving)

    def _failed(self, worker: int, stretch: _Stretch, trial: _Trial) -> None:
        """The worker is gone; what the trial had reported stays known, and it goes on from its checkpoint."""
        self._n_failures += 1
        stop = trial.next
        while stop < len(trial.epochs) and stretch.offset + trial.elapsed[stop] <= self._now:
            stop += 1
        self._reported(stretch, trial, stop)
        every = self._experiment.tune.checkpoint_every
        saved = [place for place in range(trial.next, stop) if every and trial.epochs[place] % every == 0]
        trial.next = saved[-1] + 1 if saved else trial.next
        trial.failures += 1
        if trial.failures > self._experiment.tune.max_failures:
            del self._trials[stretch.proposal_id]
            lost = Failure(
                "lost", f"worker lost {trial.failures} times", trial.epochs[stop - 1] if stop else 0
            )
            self._run.fail(stretch.proposal_id, lost)
        else:
            self._retries.append(self._run.assignment(stretch.proposal_id))
        self._free(worker, self._fails.repaired(worker) - self._now)

    def _free(self, worker: int, after_s: float) -> None:
        if after_s > 0:
            heapq.heappush(self._events, (self._now + after_s, self._n_events, worker))
        else:
            heapq.heappush(self._idle, worker)

    def _reported(self, stretch: _Stretch, trial: _Trial, stop: int) -> None:
        start = max(trial.next, trial.reported)  # what a lost worker had reported is not reported again
        self._ledger.play(stretch.proposal_id, trial.recording, start, stop, stretch.offset)
        trial.reported = max(trial.reported, stop)

    def _elapsed(self, recording: Recording) -> list[float]:
        """Seconds until each report, with those for writing checkpoints."""
        elapsed = recording.of.elapsed_s[recording.row]
        every, cost = self._experiment.tune.checkpoint_every, self._cluster.checkpoint_s
        if every and cost:
            saved = recording.of.epochs % every == 0
            elapsed = elapsed + cost * np.concatenate([[0], np.cumsum(saved)[:-1]])
        found: list[float] = elapsed.tolist()
        return found

    def _epochs(self, recording: Recording) -> list[int]:
        if self._last_epochs[0] is not recording.of.epochs:
            self._last_epochs = recording.of.epochs, recording.of.epochs.tolist()
        return self._last_epochs[1]


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of live objects and no cycles: to look for garbage among them again and again costs more."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
