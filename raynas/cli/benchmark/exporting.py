"""Write a table as a plain frame, CSV or Parquet: one row a run and epoch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from raynas.benchmarks import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("table", metavar="TABLE", help="a name that 'raynas benchmark info' lists, or a path")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="what to write; .csv or .parquet"
    )
    parser.add_argument("--dataset", metavar="D", help="only this dataset")
    parser.add_argument("--epoch", type=int, metavar="E", help="only after so many epochs")
    parser.add_argument(
        "--members",
        action="store_true",
        help="rows for every architecture of the space, each with what was trained in its place",
    )


def perform(arguments: argparse.Namespace) -> int:
    """Writes the frame."""
    from raynas.benchmarks import open_table
    from raynas.errors import InputError

    out: Path = arguments.out
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out {out}: give a file's path that ends in .csv or .parquet")
    table = open_table(arguments.table)
    made = tidy(table, dataset=arguments.dataset, epoch=arguments.epoch, members=arguments.members)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".csv":
            made.to_csv(out, index=False)
        else:
            made.to_parquet(out, index=False, compression="zstd")
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    print(f"{out}: {len(made):,} rows of {made['index'].nunique():,} architectures")
    return 0


def tidy(
    table: Table, *, dataset: str | None = None, epoch: int | None = None, members: bool = False
) -> pd.DataFrame:
    """A table as a frame.

    Args:
        table: What to read.
        dataset: The only one wanted; None for all.
        epoch: The only one wanted; None for all.
        members: Whether to give every architecture of the space the rows of what was trained in its place.

    Returns:
        One row a (dataset, schedule, seed, architecture, epoch), sorted by them, with the metrics that are
        known for some row; with ``members`` also ``trained_as``, the index of what was trained.

    Raises:
        InputError: The table has no such dataset or epoch.
    """
    import pandas as pd

    from raynas.benchmarks.schema import KEYS, spans
    from raynas.errors import InputError

    parts = [part for part in table.parts if dataset in (None, part.dataset)]
    if not parts:
        raise InputError(f"{table.path}: no dataset '{dataset}'. There is: {', '.join(table.datasets)}")
    recorded = sorted({known for part in parts for known in part.epochs})
    if epoch is not None and epoch not in recorded:
        raise InputError(f"{table.path}: nothing of epoch {epoch}; there are {spans(recorded)}")
    conditions: list[Any] = [("dataset", "==", dataset)] if dataset is not None else []
    conditions += [("epoch", "==", epoch)] if epoch is not None else []
    frame = pd.read_parquet(table.path, filters=conditions or None)
    frame = frame.astype({"dataset": "str", "architecture": "str"})
    frame = frame.drop(
        columns=[name for name in frame.columns.difference([*KEYS]) if frame[name].isna().all()]
    )
    if members:
        frame = _with_members(frame, table)
    order = ["dataset", "schedule", "seed", "index", "epoch"]
    return frame.sort_values(order, kind="stable", ignore_index=True)


def _with_members(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    import pandas as pd

    from raynas.benchmarks.reading import TableFile

    trained_as = TableFile(table.path).trained_as
    if trained_as is None:  # each stands for itself
        return frame.assign(trained_as=frame["index"])
    names = [table.space.format(table.space.at(index)) for index in range(table.space.size)]
    everyone = pd.DataFrame(
        {"trained_as": trained_as, "index": range(table.space.size), "architecture": names}
    )
    of_trained = frame.drop(columns="architecture").rename(columns={"index": "trained_as"})
    joined = everyone.merge(of_trained, on="trained_as", how="inner")
    return joined[[*frame.columns, "trained_as"]]
