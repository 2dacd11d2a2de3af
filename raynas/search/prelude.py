"""A search that begins with one trial that makes what all others need, such as a supernet's training.

The search itself knows nothing of it: its proposals, numbered from 0, are the run's from 1, and it is not
asked for any before that trial has ended. Where the trial fails, the search is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from raynas.search.asktell import PRELUDE, Outcome, Proposal, Report, Score, Searcher
from raynas.search.pool import Pool


class WithPrelude:
    """A searcher behind one proposal that names no architecture and is never scored.

    Args:
        searcher: At its beginning.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._begun = False
        self._made = False

    @property
    def hint(self) -> Callable[[int, Report], None] | None:
        """See ``Searcher``; None where the searcher behind has none."""
        return None if getattr(self._searcher, "hint", None) is None else self._hint

    @property
    def recall(self) -> Callable[[str | None], Proposal | None] | None:
        """See ``Searcher``; None where the searcher behind has none."""
        return None if getattr(self._searcher, "recall", None) is None else self._recall

    def ask(self) -> Proposal | None:
        """See ``Searcher.ask``."""
        if not self._begun:
            self._begun = True
            return Proposal(0, None, role=PRELUDE)
        return _later(self._searcher.ask()) if self._made else None

    def tell(self, proposal_id: int, outcome: Outcome) -> Score | None:
        """See ``Searcher.tell``."""
        if proposal_id == 0 and self._begun:
            self._made = self._made or isinstance(outcome, Report)
            return None
        score = self._searcher.tell(proposal_id - 1, outcome)
        return None if score is None else replace(score, proposal_id=score.proposal_id + 1)

    def share(self, pool: Pool) -> None:
        """See ``Searcher``."""
        share: Callable[[Pool], None] | None = getattr(self._searcher, "share", None)
        if share is not None:
            pool.first = 1
            share(pool)

    def _hint(self, proposal_id: int, report: Report) -> None:
        self._searcher.hint(proposal_id - 1, report)  # type: ignore[attr-defined]

    def _recall(self, architecture: str | None) -> Proposal | None:
        if not self._begun:
            return self.ask()
        return _later(self._searcher.recall(architecture))  # type: ignore[attr-defined]


def _later(proposal: Proposal | None) -> Proposal | None:
    """A proposal by its number in the run."""
    if proposal is None:
        return None
    group = None if proposal.group is None else proposal.group + 1
    reuses = None if proposal.reuses is None else proposal.reuses + 1
    return replace(proposal, id=proposal.id + 1, group=group, reuses=reuses)
