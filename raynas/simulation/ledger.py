"""The facts of a simulated run in columns, as many as millions of trials make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from raynas import results
from raynas.journal import Record
from raynas.search.run import Run
from raynas.spaces import SearchSpace
from raynas.trial import Recording

if TYPE_CHECKING:
    import pandas as pd


class Ledger:
    """A journal that becomes the result frame, and keeps no dictionary a report."""

    knows_reports = True

    def __init__(self) -> None:
        self._texts: list[str | None] = []
        self._scores: dict[int, float | None] = {}
        self._failures: dict[int, tuple[str, float]] = {}
        self._stretches: list[tuple[int, Recording, int, int, float]] = []
        self.n_reports = 0

    def append(self, records: Iterable[Record]) -> None:
        """Takes a run's facts; reports come by ``play``."""
        for record in records:
            match record["kind"]:
                case "score":
                    self._scores[record["id"]] = record["value"]
                case "proposal":
                    self._texts.append(record["architecture"])
                case "failure":
                    message = f"{record['failure']}: {record['message']}"
                    self._failures[record["id"]] = (message, record["time"])

    def close(self) -> None:
        """Nothing to let go of."""

    def play(self, proposal_id: int, recording: Recording, start: int, stop: int, offset: float) -> None:
        """A proposal has reported places ``start`` to ``stop - 1`` of its recording.

        Args:
            proposal_id: Which.
            recording: Its training.
            start: First place.
            stop: Place after the last.
            offset: What to add to the recording's seconds for those of the simulation.
        """
        if stop > start:
            self._stretches.append((proposal_id, recording, start, stop, offset))
            self.n_reports += stop - start

    def frame(self, run: Run, name: str, space: SearchSpace) -> pd.DataFrame:
        """The result frame; see ``raynas.results.frame``.

        Args:
            run: Whose journal this is.
            name: Of the run.
            space: Its search space.
        """
        return results.assemble(name, self._proposals(run, space), self._reports())

    def _proposals(self, run: Run, space: SearchSpace) -> pd.DataFrame:
        import pandas as pd

        ids = range(len(self._texts))
        standings = [run.standing(key) for key in ids]
        made = [standing.proposal for standing in standings]
        known = [None if one.architecture is None else space.index(one.architecture) for one in made]
        failed = [self._failures.get(key, (None, None)) for key in ids]
        return pd.DataFrame(
            {
                "proposal": ids,
                "group": [-1 if one.group is None else one.group for one in made],
                "role": [one.role for one in made],
                "status": [standing.status for standing in standings],
                "reuses": pd.array([one.reuses for one in made], dtype="Int64"),
                "architecture": self._texts,
                "index": pd.array([i if i is None or i < 2**63 else None for i in known], dtype="Int64"),
                "score": [self._scores.get(key) for key in ids],
                "failure": pd.array([message for message, _ in failed], dtype="string"),
                "failed_at": pd.array([at for _, at in failed], dtype="float64"),
            },
            columns=results.PROPOSAL_COLUMNS,
        )

    def _reports(self) -> pd.DataFrame:
        import pandas as pd

        stretches = self._stretches
        counts = np.array([stop - start for _, _, start, stop, _ in stretches], dtype=np.int64)
        elapsed = _joined([one.elapsed_s[start:stop] for _, one, start, stop, _ in stretches])
        costs = np.diff(elapsed, prepend=0.0)
        firsts = np.cumsum(counts) - counts
        before = [one.elapsed_s[start - 1] if start else 0.0 for _, one, start, _, _ in stretches]
        costs[firsts] = elapsed[firsts] - before
        columns: dict[str, Any] = {
            "proposal": np.repeat(np.array([key for key, *_ in stretches], dtype=np.int64), counts),
            "epoch": _joined([one.epochs[start:stop] for _, one, start, stop, _ in stretches]),
            "cost_s": costs,
            "time": elapsed + np.repeat(np.array([offset for *_, offset in stretches], dtype=float), counts),
        }
        for name in dict.fromkeys(name for _, one, *_ in stretches for name in one.metrics):
            columns[name] = _joined([_values(one, name)[start:stop] for _, one, start, stop, _ in stretches])
        return pd.DataFrame(columns)


def _values(recording: Recording, metric: str) -> Any:
    values = recording.metrics.get(metric)
    return np.full(len(recording), np.nan) if values is None else values


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts) if parts else np.array([])
