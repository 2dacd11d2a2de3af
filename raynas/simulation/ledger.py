"""The facts of a simulated run in columns, as many as millions of trials make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from raynas import results
from raynas.journal import Record
from raynas.search.run import Run
from raynas.spaces import SearchSpace
from raynas.trial import Recording

if TYPE_CHECKING:
    import pandas as pd


_Stretch: TypeAlias = tuple[int, Recording, int, int, float]
"""Proposal, recording, first place, place after the last, what to add to its seconds for the simulation's."""


class Ledger:
    """A journal that becomes the result frame, and keeps no dictionary a report."""

    knows_reports = True

    def __init__(self) -> None:
        self._texts: list[str | None] = []
        self._scores: dict[int, float | None] = {}
        self._failures: dict[int, tuple[str, float]] = {}
        self._stretches: list[_Stretch] = []
        self.n_reports = 0

    def append(self, records: Iterable[Record]) -> None:
        """Takes a run's facts; reports come by ``play``."""
        for record in records:
            kind = record["kind"]
            if kind == "proposal":
                self._texts.append(record["architecture"])
            elif kind == "score":
                self._scores[record["id"]] = record["value"]
            elif kind == "failure":
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

        groups: dict[int, list[_Stretch]] = {}
        # in the order of the frame, which spares it to put its rows in order
        for stretch in sorted(self._stretches, key=lambda stretch: (stretch[0], stretch[2])):
            groups.setdefault(id(stretch[1].of), []).append(stretch)
        parts = [pd.DataFrame(_columns(stretches)) for stretches in groups.values()]
        if not parts:
            return pd.DataFrame(columns=["proposal", "epoch", "cost_s", "time"], dtype="float64")
        return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def _columns(stretches: list[_Stretch]) -> dict[str, Any]:
    """Columns of the reports in stretches of recordings that are rows of the same arrays."""
    of = stretches[0][1].of
    known = [(key, recording.row, start, stop) for key, recording, start, stop, _ in stretches]
    ids, rows, starts, stops = np.array(known, dtype=np.int64).T
    counts = stops - starts
    rows = np.repeat(rows, counts)
    places = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    elapsed = of.elapsed_s[rows, places]
    before = np.where(places > 0, of.elapsed_s[rows, places - 1], 0.0)
    offsets = np.array([offset for *_, offset in stretches])
    return {
        "proposal": np.repeat(ids, counts),
        "epoch": of.epochs[places],
        "cost_s": elapsed - before,
        "time": elapsed + np.repeat(offsets, counts),
        **{name: values[rows, places] for name, values in of.metrics.items()},
    }
