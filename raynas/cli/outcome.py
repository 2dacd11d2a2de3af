"""What ``raynas run`` and ``raynas resume`` print at the end."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from raynas.search.asktell import Report

if TYPE_CHECKING:
    from raynas.config import Experiment
    from raynas.search.asktell import Proposal
    from raynas.search.run import Run
    from raynas.storage import Folder


def report(run: Run, experiment: Experiment, folder: Folder, seconds: float) -> int:
    """Prints the best architecture, its score, the cost, and where the results are.

    Returns:
        Exit status: 1 where no trial succeeded.
    """
    counts = run.counts
    print(
        f"\n{counts.nominal} proposals, {counts.unique} of them distinct and trained; "
        f"{counts.failed} failed; {seconds:.1f} s"
    )
    print(f"results    {folder.uri}  (raynas results {shlex.quote(folder.uri)})")
    best = run.best
    if best is None:
        print(f"no trial succeeded; see the failures in {folder.uri}", file=sys.stderr)
        if (failure := run.first_failure) is not None:
            print(f"first failure: {failure.message}\n{failure.detail}".rstrip(), file=sys.stderr)
        return 1
    over = f", over {best.n} architectures" if best.n > 1 else ""
    print(f"best score {best.value:.4f}  ({experiment.report.metric}{over})")
    standing = run.standing(best.proposal_id)
    print(f"best       {called(standing.proposal)}")
    if isinstance(standing.outcome, Report) and standing.outcome.architecture is not None:
        print(f"derived    {standing.outcome.architecture}")
    return 0


def called(proposal: Proposal) -> str:
    """A proposal by its architecture, or by what it sets."""
    if proposal.architecture is not None:
        return str(proposal.architecture)
    return ", ".join(f"{path}={value}" for path, value in proposal.config.items()) or "as configured"
