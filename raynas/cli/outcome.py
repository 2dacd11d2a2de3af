"""What ``raynas run`` and ``raynas resume`` print at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    if best is None or best.value is None:
        print(f"no trial succeeded; see the failures in {folder.uri}", file=sys.stderr)
        if (failure := run.first_failure) is not None:
            print(f"first failure: {failure.message}\n{failure.detail}".rstrip(), file=sys.stderr)
        return 1
    over = f", over {best.n} architectures" if best.n > 1 else ""
    print(f"best score {number(best.value, 4)}  ({experiment.report.metric}{over})")
    standing = run.standing(best.proposal_id)
    print(f"best       {called(standing.proposal)}")
    if isinstance(standing.outcome, Report) and standing.outcome.architecture is not None:
        print(f"derived    {standing.outcome.architecture}")
    elif experiment.sweep and standing.proposal.architecture is not None:
        print("           the best of several searches; 'raynas results' shows the best of each")
    return 0


def number(value: float, decimals: int) -> str:
    """A value with so many decimals, or four digits of one that so few would not show, such as a flatness."""
    return f"{value:.{decimals}f}" if value == 0 or abs(value) >= 0.1 else f"{value:.4g}"


def settings(config: Mapping[str, Any]) -> str:
    """What a configuration sets, by dotted path."""
    return ", ".join(f"{path}={value}" for path, value in config.items())


def called(proposal: Proposal) -> str:
    """A proposal by its architecture, by what it sets, or by both."""
    if proposal.is_prelude:
        return proposal.role
    values = settings(proposal.config)
    if proposal.architecture is None:
        return values or "as configured"
    return f"{proposal.architecture}  ({values})" if values else str(proposal.architecture)
