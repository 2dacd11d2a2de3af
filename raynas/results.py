"""The result frame: one row a (trial, epoch), columns declared once, made from a journal at any time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raynas import journal
from raynas.errors import InputError
from raynas.journal import Record
from raynas.storage import Folder

if TYPE_CHECKING:
    import pandas as pd

FILE = "results.parquet"


@dataclass(frozen=True)
class Column:
    """One column of the frame.

    Attributes:
        name: Its name.
        dtype: Its pandas dtype.
        unit: Unit of its values; empty where they have none.
        meaning: What it says.
    """

    name: str
    dtype: str
    unit: str
    meaning: str


COLUMNS = (
    Column("run", "string", "", "name of the run"),
    Column(
        "proposal", "int64", "", "id of the proposal that the trial evaluates, from 0, in order of asking"
    ),
    Column("group", "int64", "", "proposals scored together share a group; -1: none"),
    Column("role", "category", "", "candidate, or in a neighborhood reference or neighbor"),
    Column("status", "category", "", "running, paused, finished or failed"),
    Column("architecture", "string", "", "architecture in its space's notation"),
    Column("index", "Int64", "", "index of the architecture in its space"),
    Column("epoch", "int64", "", "epochs trained; 0: the trial failed before its first report"),
    Column("score", "float64", "as the metric", "value the search compares by; missing for neighbors"),
    Column("train_loss", "float64", "nats", "mean cross-entropy over the epoch's training batches"),
    Column("train_accuracy_pct", "float64", "percent", "accuracy over the epoch's training batches"),
    Column("valid_loss", "float64", "nats", "mean cross-entropy on the validation split"),
    Column("valid_accuracy_pct", "float64", "percent", "accuracy on the validation split"),
    Column("test_loss", "float64", "nats", "mean cross-entropy on the test split; last epoch only"),
    Column("test_accuracy_pct", "float64", "percent", "accuracy on the test split; last epoch only"),
    Column("learning_rate", "float64", "", "learning rate of the epoch"),
    Column("parameters_m", "float64", "millions", "trainable parameters"),
    Column("flops_m", "float64", "millions", "multiply-adds of one image"),
    Column("cost_s", "float64", "seconds", "time the epoch took in its trial"),
    Column("time", "datetime64[us, UTC]", "", "when the epoch was recorded"),
    Column("failure", "string", "", "why the trial failed; missing where it did not"),
)


@dataclass(frozen=True)
class Header:
    """What the first line of a journal says of its run.

    Attributes:
        name: Of the run.
        space: Search space, by name or path.
        metric: What the search improves.
        mode: ``max`` or ``min``.
    """

    name: str
    space: str
    metric: str
    mode: str


def header(records: Sequence[Record]) -> Header:
    """The header of a journal.

    Raises:
        InputError: It has none.
    """
    for record in records[:1]:
        if record.get("kind") == "run":
            return Header(record["name"], record["space"], record["metric"], record["mode"])
    raise InputError("the journal does not begin with a run's header; give a directory that raynas run made")


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """The result frame of a journal.

    Args:
        records: All lines of a run's journal so far.

    Returns:
        One row a (trial, epoch), sorted by proposal and epoch; columns as ``COLUMNS`` declares them, then any
        other metric that the workload reported. A trial that failed before its first report has one row of
        epoch 0. A proposal that reuses an earlier outcome has no row of its own.
    """
    import pandas as pd

    about = header(records)
    rows = list(_rows(records, about))
    declared = {column.name: column for column in COLUMNS}
    extra = sorted({key for row in rows for key in row} - set(declared))
    made = pd.DataFrame(rows, columns=[*declared, *extra])
    types = {column.name: column.dtype for column in COLUMNS if column.name != "time"}
    made = made.astype({**types, **dict.fromkeys(extra, "float64")})
    made["time"] = pd.to_datetime(made["time"], unit="s", utc=True).astype("datetime64[us, UTC]")
    return made.sort_values(["proposal", "epoch"], kind="stable", ignore_index=True)


def of_run(folder: Folder) -> pd.DataFrame:
    """The result frame of a run's folder, also while the run goes on."""
    return frame(journal.read(folder))


def parquet(made: pd.DataFrame) -> bytes:
    """A frame as the bytes of a Parquet file, with each column's unit and meaning as field metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(made, preserve_index=False)
    declared = {column.name: column for column in COLUMNS}
    fields = [
        field.with_metadata({"unit": declared[field.name].unit, "meaning": declared[field.name].meaning})
        if field.name in declared
        else field
        for field in table.schema
    ]
    buffer = io.BytesIO()
    pq.write_table(table.cast(pa.schema(fields, metadata=table.schema.metadata)), buffer, compression="zstd")
    return buffer.getvalue()


def keep(folder: Folder, records: Sequence[Record] | None = None) -> None:
    """Writes the result frame beside the journal, as ``results.parquet``."""
    folder.write(FILE, parquet(frame(journal.read(folder) if records is None else records)))


def _rows(records: Iterable[Record], about: Header) -> Iterable[dict[str, Any]]:
    from raynas.spaces import get_space

    space = get_space(about.space)
    proposals: dict[int, dict[str, Any]] = {}
    reports: dict[tuple[int, int], dict[str, Any]] = {}
    for record in records:
        match record["kind"]:
            case "proposal" if record["reuses"] is None:
                text = record["architecture"]
                proposals[record["id"]] = {
                    "run": about.name,
                    "proposal": record["id"],
                    "group": -1 if record["group"] is None else record["group"],
                    "role": record["role"],
                    "status": "running",
                    "architecture": text,
                    "index": None if text is None else space.index(space.parse(text)),
                }
            case "report":
                row = {**record["metrics"], "epoch": record["epoch"], "cost_s": record["cost_s"]}
                reports.setdefault((record["id"], record["epoch"]), {**row, "time": record["time"]})
                if record["done"]:
                    proposals[record["id"]]["status"] = "finished"
            case "decision":
                ended = {"pause": "paused", "stop": "finished"}
                proposals[record["id"]]["status"] = ended[record["decision"]]
            case "resume":
                proposals[record["id"]]["status"] = "running"
            case "score" if record["id"] in proposals:
                proposals[record["id"]]["score"] = record["value"]
            case "failure":
                proposal = proposals[record["id"]]
                proposal.update(status="failed", failure=f"{record['failure']}: {record['message']}")
                if not any(key == record["id"] for key, _ in reports):
                    reports[record["id"], 0] = {"epoch": 0, "time": record["time"]}
    for (proposal_id, _), row in reports.items():
        yield {**proposals[proposal_id], **row}
