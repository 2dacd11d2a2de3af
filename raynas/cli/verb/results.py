"""Print the best architectures of a run; write the whole frame."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "run_dir", metavar="RUN_DIR", help="directory that 'raynas run' or 'simulate' made; it may still run"
    )
    parser.add_argument(
        "--top", type=int, default=10, metavar="N", help="architectures to print (default: 10)"
    )
    parser.add_argument("--parquet", type=Path, metavar="FILE", help="write the frame as Parquet")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the frame as CSV")


def perform(arguments: argparse.Namespace) -> int:
    """Prints and writes."""
    from raynas import journal, results
    from raynas.cli.outcome import number
    from raynas.errors import InputError
    from raynas.storage import folder

    place = folder(arguments.run_dir)
    if (simulated := results.read_simulated(place)) is not None:
        about, frame = simulated
        nominal, ended = int(frame["proposal"].max()) + 1 if len(frame) else 0, "simulated"
    else:
        records = journal.read(place)
        about, frame = results.header(records), results.frame(records)
        nominal = sum(record["kind"] == "proposal" for record in records)
        ended = "ended" if any(record["kind"] == "end" for record in records) else "not ended"
    last = frame.drop_duplicates("proposal", keep="last")
    states = ", ".join(f"{n} {state}" for state, n in last["status"].value_counts().items() if n)
    print(f"{about.name}: {ended}; {nominal} proposals; with results: {len(last)} ({states or 'none'})")
    scored = last.dropna(subset=["score"]).sort_values(
        ["score", "proposal"], ascending=[about.mode == "min", True]
    )
    found = "derived" if last["architecture"].isna().all() else "architecture"
    swept = results.swept(frame)
    looked_up = [name for name in map(str, frame) if name.startswith("table_") and name != about.metric]
    columns = ["proposal", "score", "epoch", about.metric, *looked_up, *swept, found]
    shown: Any = {"columns": columns, "index": False, "float_format": lambda value: number(value, 3)}
    if len(scored):
        print(f"\nbest by {about.metric}, {about.mode}imal:")
        print(scored.head(arguments.top).to_string(**shown))
    if len(scored) and swept and found == "architecture":
        numbered = scored.assign(search=last.groupby(swept, dropna=False, sort=False).ngroup())
        each = numbered.drop_duplicates("search").sort_values("search")
        print("\nbest of each search:")
        print(each.to_string(**shown))
    try:
        if arguments.parquet is not None:
            arguments.parquet.write_bytes(results.parquet(frame))
        if arguments.csv is not None:
            frame.to_csv(arguments.csv, index=False)
    except OSError as error:
        raise InputError(f"the frame cannot be written: {error}; give a path that can") from error
    return 0
