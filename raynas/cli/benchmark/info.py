"""Say what is in a table, or which tables travel with the package.

Quantiles are over the networks that were trained, each the mean of its seeds at the last epoch that is known.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raynas.benchmarks import Part, Table

_QUANTILES = (5, 25, 50, 75, 95, 100)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "table", nargs="?", metavar="TABLE", help="a name, or a path (default: list the names there are)"
    )


def perform(arguments: argparse.Namespace) -> int:
    """Prints it."""
    from raynas.benchmarks import embedded, open_table
    from raynas.yaml_document import dump

    if arguments.table is None:
        for name in embedded():
            table = open_table(name)
            networks = table.describe().n_trained
            print(f"{name:<16} {table.about.space}, {', '.join(table.datasets)}: {networks:,} networks")
        if not embedded():
            print("no table travels with this installation; give the path of one")
        return 0
    table = open_table(arguments.table)
    print(table.describe())
    for part in table.parts:
        print("\n".join(_numbers(table, part)))
    if table.about.constants:
        print(f"\nconstants:\n{dump(dict(table.about.constants))}", end="")
    return 0


def _numbers(table: Table, part: Part) -> Iterator[str]:
    """Quantiles of a part's accuracies, and how far its seeds agree, a line each."""
    import numpy as np

    from raynas.benchmarks.building import COMPARED, seed_tau
    from raynas.benchmarks.reading import TableFile

    where = f"{part.dataset}, schedule of {part.schedule} epochs"
    trained = TableFile(table.path).units(table.parts.index(part))
    accuracies = [name for name in part.known if name.endswith("_accuracy_pct")]

    def last(metric: str) -> Any:
        """``(n, n_seeds)`` at the last epoch that is known."""
        column = part.epochs.index(part.known[metric][-1])
        curves = table.curves(metric, trained, dataset=part.dataset, schedule=part.schedule)
        return curves[..., column]

    if accuracies:
        yield f"\n{where}: percentiles {'/'.join(map(str, _QUANTILES))} over {trained.size:,} networks"
    for metric in accuracies:
        values = last(metric)
        means = np.nanmean(values[~np.isnan(values).all(axis=1)], axis=1)
        shown = "  ".join(f"{value:5.1f}" for value in np.percentile(means, _QUANTILES))
        yield f"  {metric:<34} {shown}"
    compared = [metric for metric in COMPARED if metric in part.known]
    if len(part.seeds) > 1 and compared:
        yield f"{where}: Kendall's tau between seeds, of all networks and of the best quarter"
    for metric in compared if len(part.seeds) > 1 else ():
        values, lower = last(metric), metric.endswith("_loss")
        taus = [seed_tau(values, best=best, lower_is_better=lower) for best in (1.0, 0.25)]
        if not np.isnan(taus).all():
            yield f"  {metric:<34} {taus[0]:5.2f}  {taus[1]:5.2f}"
