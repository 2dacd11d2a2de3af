"""The result frame: one row a (trial, epoch), columns declared once, made from a journal at any time."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from raynas import journal
from raynas.errors import InputError
from raynas.journal import Record
from raynas.storage import Folder

if TYPE_CHECKING:
    import pandas as pd

    from raynas.search.asktell import Mode

FILE = "results.parquet"
_ABOUT = b"raynas.run"

# Columns that a workload's own metrics may not take.
RESERVED = frozenset(
    {
        "run", "proposal", "group", "role", "status", "reuses", "architecture", "index", "derived", "epoch",
        "score", "cost_s", "time", "failure",
    }
)  # fmt: skip


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
    Column(
        "role",
        "category",
        "",
        "candidate; in a neighborhood reference or neighbor; supernet where the run trains one first",
    ),
    Column("status", "category", "", "running, paused, finished, failed or reused"),
    Column("reuses", "Int64", "", "earlier proposal of the same architecture, whose outcome this one takes"),
    Column("architecture", "string", "", "architecture in its space's notation"),
    Column("index", "Int64", "", "index of the architecture in its space; missing beyond 64 bits"),
    Column("derived", "string", "", "architecture that a search within the trial has come to by this epoch"),
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


PROPOSAL_COLUMNS = (
    "proposal", "group", "role", "status", "reuses", "architecture", "index", "score", "failure", "failed_at"
)  # fmt: skip
"""What ``assemble`` takes of each proposal."""


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
    mode: Mode


def header(records: Sequence[Record]) -> Header:
    """The header of a journal.

    Raises:
        InputError: It has none.
    """
    for record in records[:1]:
        if record.get("kind") == "run" and {"name", "space", "metric", "mode"} <= record.keys():
            return Header(record["name"], record["space"], record["metric"], record["mode"])
    raise InputError("the journal does not begin with a run's header; give a directory that raynas run made")


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """The result frame of a journal.

    Args:
        records: All lines of a run's journal so far.

    Returns:
        One row a (trial, epoch), sorted by proposal and epoch; columns as ``COLUMNS`` declares them, then any
        other metric that the workload reported, then what a sweep varied, by its dotted path. A trial that
        failed before its first report has one row of epoch 0. A proposal that reuses an earlier outcome is no
        trial: it has one row, of status ``reused``, with the last metrics of that outcome and no cost.

        Each row of a trial that was made to go on from another's checkpoint, with other values, shows the
        values that the epoch was trained with. Epochs beyond the checkpoint that the trial had reported
        before are taken back: they have no rows, and the journal alone knows them and what they cost. Those
        between its own last and a checkpoint ahead of it are the other trial's, and have no rows either.

    Raises:
        InputError: A line that no run writes.
    """
    about = header(records)
    try:
        proposals, reports = _gathered(records, about)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the journal holds a line that is no fact of a run ({type(error).__name__}: {error}); "
            "restore the file from a copy"
        ) from error
    return assemble(about.name, proposals, reports)


def assemble(run: str, proposals: pd.DataFrame, reports: pd.DataFrame) -> pd.DataFrame:
    """The result frame of a run, from what it asked for and what it was told.

    Args:
        run: Name of the run.
        proposals: One row a proposal, in order: ``proposal``, ``group``, ``role``, ``status``, ``reuses``,
            ``architecture``, ``index``, ``score``, ``failure`` and ``failed_at`` (seconds); then one column
            for each key of the configuration that was swept.
        reports: One row a report: ``proposal``, ``epoch``, ``cost_s``, ``time`` (seconds), metrics, and where
            there are any ``derived``, and swept keys whose values changed on the way.

    Returns:
        See ``frame``.
    """
    import pandas as pd

    ids, origins = proposals["proposal"].to_numpy(), proposals["reuses"].to_numpy("float64", na_value=np.nan)
    owners = np.searchsorted(ids, reports["proposal"].to_numpy("int64"))
    sources = np.lexsort((reports["epoch"].to_numpy(), owners))
    owners = owners[sources]
    last = np.full(len(ids), -1)
    last[owners] = sources  # of a proposal's reports the last stays
    failed = proposals["failure"].notna().to_numpy()
    silent = np.flatnonzero(failed & np.isnan(origins) & (last < 0))
    reused = np.flatnonzero(~np.isnan(origins))
    of_reused = np.searchsorted(ids, origins[reused])
    ended = proposals["status"].isin(["finished", "failed"]).to_numpy()[of_reused]
    reused, of_reused = reused[ended], of_reused[ended]

    owners = np.concatenate([owners, silent, reused])
    told = np.concatenate([owners[: len(sources)], silent, of_reused])  # whose outcome a row tells
    sources = np.concatenate([sources, last[silent], last[of_reused]])
    order = np.argsort(owners, kind="stable")
    owners, told, sources = owners[order], told[order], sources[order]
    blank, copied = sources < 0, owners != told

    def repeated(text: str | None) -> Any:
        return pd.array([text], dtype="string").take(np.zeros(len(sources), dtype=np.intp))

    def derived() -> Any:
        if "derived" not in reports:
            return repeated(None)
        return reports["derived"].astype("string").array.take(sources, allow_fill=True)

    in_order = len(sources) == len(reports) and bool((sources == np.arange(len(sources))).all())

    def of_reports(name: str, otherwise: Any = np.nan) -> NDArray[Any]:
        values = reports[name].to_numpy("float64")
        if in_order:
            return values
        return (
            np.where(blank, otherwise, values[sources]) if len(values) else np.full(len(sources), otherwise)
        )

    varied = [str(name) for name in proposals.columns.difference(list(PROPOSAL_COLUMNS))]
    extra = sorted(set(map(str, reports)) - {column.name for column in COLUMNS} - set(varied))
    made: dict[str, Any] = {}
    for column in [*COLUMNS, *(Column(name, "float64", "", "") for name in extra)]:
        name = column.name
        if name == "derived":
            made[name] = derived()
        elif name in reports and name != "proposal":
            values = of_reports(name, 0 if name == "epoch" else np.nan)
            made[name] = values.astype(column.dtype) if column.dtype in ("int64", "float64") else values
        elif name in proposals:
            known: Any = proposals[name].astype(cast(Any, column.dtype)).array
            made[name] = known.take(told if name == "failure" else owners)
        else:
            made[name] = np.full(len(owners), np.nan)
    for name in varied:
        asked = proposals[name].infer_objects().array.take(owners)
        made[name] = asked
        if name in reports:
            had = np.where(blank | copied, asked.astype(object), reports[name].to_numpy(object)[sources])
            made[name] = pd.Series(had.tolist()).array
    made["run"] = repeated(run)
    made["cost_s"] = np.where(copied, 0.0, made["cost_s"])
    failed_at = proposals["failed_at"].to_numpy("float64", na_value=np.nan)
    seconds = np.where(blank, failed_at[told], made["time"])
    made["time"] = (seconds * 1e6).round().astype("int64").astype("datetime64[us]")
    frame = pd.DataFrame(made, copy=False)
    frame["time"] = frame["time"].dt.tz_localize("UTC")
    return frame


def swept(made: pd.DataFrame) -> list[str]:
    """The columns of a frame that hold what a sweep varied; their names are dotted paths."""
    return [str(name) for name in made if "." in str(name) or name == "seed"]


def of_run(folder: Folder) -> pd.DataFrame:
    """The result frame of a run's folder, also while the run goes on."""
    return frame(journal.read(folder))


def parquet(made: pd.DataFrame, about: Header | None = None) -> bytes:
    """A frame as the bytes of a Parquet file, with each column's unit and meaning as field metadata.

    Args:
        made: The frame.
        about: Of its run; kept in the file's metadata, for a run without a journal.
    """
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
    metadata = dict(table.schema.metadata)
    if about is not None:
        metadata[_ABOUT] = json.dumps(dataclasses.asdict(about)).encode()
    buffer = io.BytesIO()
    pq.write_table(table.cast(pa.schema(fields, metadata=metadata)), buffer, compression="zstd")
    return buffer.getvalue()


def read_simulated(folder: Folder) -> tuple[Header, pd.DataFrame] | None:
    """Header and frame of a simulated run's folder; None for one with a journal, or with neither.

    Raises:
        InputError: The frame is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = set(folder.names())
    if FILE not in names or names & {journal.FILE, journal.SEGMENTS}:
        return None
    try:
        table = pq.read_table(pa.BufferReader(folder.read(FILE)))
        about = Header(**json.loads(table.schema.metadata[_ABOUT]))
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder.uri}/{FILE}: not the frame of a simulated run ({type(error).__name__}: {error}); "
            "simulate again"
        ) from error
    return about, table.to_pandas()


def keep(folder: Folder, records: Sequence[Record] | None = None) -> None:
    """Writes the result frame beside the journal, as ``results.parquet``."""
    folder.write(FILE, parquet(frame(journal.read(folder) if records is None else records)))


def _gathered(records: Sequence[Record], about: Header) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    proposals: dict[int, dict[str, Any]] = {}
    reports: dict[tuple[int, int], dict[str, Any]] = {}
    swept: set[str] = set()
    begins: dict[str, Any] = {}
    now: dict[int, dict[str, Any]] = {}  # what each trial has for the swept keys
    latest: dict[int, int] = {}
    exploits = any(record["kind"] == "exploit" for record in records)
    for record in records:
        key: int = record.get("id", -1)
        match record["kind"]:
            case "run":
                begins = record.get("begins", {})
            case "proposal":
                now[key] = {**begins, **record.get("config", {})}
                swept |= now[key].keys()
                proposals[key] = {**now[key], **_proposal_columns(record, about)}
            case "report":
                row = {**record["metrics"], "epoch": record["epoch"], "cost_s": record["cost_s"]}
                if "architecture" in record:
                    row["derived"] = record["architecture"]
                if exploits:
                    row |= now[key]
                latest[key] = record["epoch"]
                reports.setdefault((key, record["epoch"]), {"proposal": key, **row, "time": record["time"]})
                if record["done"]:
                    proposals[key]["status"] = "finished"
            case "exploit":
                now[key] = {**now[key], **record["config"]}
                for epoch in range(record["epoch"] + 1, latest.get(key, 0) + 1):
                    reports.pop((key, epoch), None)
            case "decision":
                proposals[key]["status"] = {"pause": "paused", "stop": "finished"}[record["decision"]]
            case "resume":
                proposals[key]["status"] = "running"
            case "score":
                proposals[key]["score"] = record["value"]
            case "failure":
                failure = f"{record['failure']}: {record['message']}"
                proposals[key].update(status="failed", failure=failure, failed_at=record["time"])
    kept = ["proposal", "epoch", "cost_s", "time"]
    made = pd.DataFrame(list(reports.values()))
    return (
        pd.DataFrame(list(proposals.values()), columns=[*PROPOSAL_COLUMNS, *sorted(swept)]),
        made if len(made) else pd.DataFrame(columns=kept, dtype="float64"),
    )


def _proposal_columns(record: Record, about: Header) -> dict[str, Any]:
    from raynas.spaces import get_space

    text = record["architecture"]
    space = get_space(about.space)
    index = None if text is None else space.index(space.parse(text))
    return {
        "proposal": record["id"],
        "group": -1 if record["group"] is None else record["group"],
        "role": record["role"],
        "status": "running" if record["reuses"] is None else "reused",
        "reuses": record["reuses"],
        "architecture": text,
        "index": index if index is not None and index < 2**63 else None,
        "score": None,
        "failure": None,
        "failed_at": None,
    }
