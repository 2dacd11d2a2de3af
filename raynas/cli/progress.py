"""What ``raynas run`` prints while it runs: a line a finished trial, at most about one a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raynas.cli.outcome import called, number, settings
from raynas.journal import Record
from raynas.search.sweep import ranges
from raynas.spaces import get_space

if TYPE_CHECKING:
    from raynas.config import Experiment
    from raynas.search.run import Run
    from raynas.spaces import SearchSpace

_EVERY_S = 1.0


class Progress:
    """Prints a run's facts as they come.

    Args:
        experiment: The run's.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._metric = experiment.report.metric
        self._nominal = _n_evaluations(experiment.searcher, get_space(experiment.search_space))
        if self._nominal is not None and (searches := getattr(experiment.searcher, "n_combinations", None)):
            self._nominal *= searches(ranges(experiment.sweep))
        self._started = time.monotonic()
        self._printed = 0.0
        self._spent: dict[int, float] = {}
        self._first: tuple[float, int] | None = None

    def __call__(self, record: Record, run: Run) -> None:
        """Takes one fact, once it is in the journal."""
        match record["kind"]:
            case "attempt":
                print(f"{record['slots']} trials at a time", flush=True)
            case "retry":
                ids = ", ".join(map(str, record["ids"]))
                print(f"{self._clock(run)} a worker was lost; proposal {ids} starts again", flush=True)
            case "exploit":
                print(
                    f"{self._clock(run)} proposal {record['id']} goes on from {record['donor']}'s epoch "
                    f"{record['epoch']} with {settings(record['config'])}",
                    flush=True,
                )
            case "report":
                spent = self._spent.pop(record["id"], 0.0) + record["cost_s"]
                if record["done"]:
                    self._line(run, record, self._value(record["metrics"]), spent)
                else:
                    self._spent[record["id"]] = spent
                    self._between(run, record)
            case "failure":
                self._line(run, record, f"{record['failure']}: {record['message']}", None, now=True)

    def _value(self, metrics: Mapping[str, Any]) -> str:
        value = metrics.get(self._metric)  # which a supernet's training need not report
        return "trained" if value is None else f"{self._metric} {number(value, 2)}"

    def _line(self, run: Run, record: Record, what: str, spent: float | None, *, now: bool = False) -> None:
        at = time.monotonic()
        last = run.live <= 1
        if at - self._printed < _EVERY_S and not now and not last:
            return
        self._printed = at
        counts = run.counts
        took = "" if spent is None else f"  {spent:.1f} s"
        score = None if run.best is None else run.best.value
        best = "" if score is None else f"  best {number(score, 2)}"
        proposal = run.standing(record["id"]).proposal
        name = called(proposal)
        print(f"{self._clock(run)} {counts.finished + counts.failed:>5} done  {what}{took}{best}  {name}")
        sys.stdout.flush()

    def _between(self, run: Run, record: Record) -> None:
        at = time.monotonic()
        if at - self._printed < 5 * _EVERY_S:
            return
        self._printed = at
        value = record["metrics"].get(self._metric)
        shown = "" if value is None else f"  {self._metric} {number(value, 2)}"
        print(f"{self._clock(run)} proposal {record['id']} at epoch {record['epoch']}{shown}", flush=True)

    def _clock(self, run: Run) -> str:
        elapsed = time.monotonic() - self._started
        text = f"[{_duration(elapsed)}"
        counts = run.counts
        ended = counts.finished + counts.failed
        if self._first is None:
            self._first = (elapsed, ended)
        since, before = self._first
        if self._nominal and ended - before > 3:
            share = counts.unique / max(1, counts.nominal)
            left = max(0.0, self._nominal * share - ended)
            text += f" left ~{_duration(left * (elapsed - since) / (ended - before))}"
        return text + "]"


def _n_evaluations(searcher: Any, space: SearchSpace) -> int | None:
    """Evaluations that a searcher asks for in all; None where nothing says.

    A searcher says it by a method ``n_evaluations(space)``, else by its field ``n_proposals``.
    """
    base = getattr(searcher, "base", None)
    if base is not None:
        of_base = _n_evaluations(base, space)
        return None if of_base is None else of_base * int(getattr(searcher, "n_nbr", 1))
    count = getattr(searcher, "n_evaluations", None)
    return count(space) if callable(count) else getattr(searcher, "n_proposals", None)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
