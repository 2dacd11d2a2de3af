"""The table format: one tidy Parquet file, readable with ``pandas.read_parquet``, in natural units.

One row a (dataset, schedule, seed, architecture, epoch), with the columns ``KEYS`` and ``METRICS``, then any
extra metrics; unit and meaning of each are metadata of its field. A value that is not known is null: test
results known at the last epoch only, say. Accuracies repeat and losses may be rounded, so Parquet's
dictionaries store them in little more than the bits that they carry.

A *schedule* is the number of epochs for which a training was planned. Epoch 12 of 200 and the end of 12 are
different numbers, so a table may hold both and never mixes them.

A *row group* holds some runs of one (dataset, schedule, seed), run by run and epoch by epoch, so a reader
takes only what it is asked for. Two entries of the file's key-value metadata say the rest, in JSON:
``raynas.table`` (see ``Manifest``) and, where architectures share a trained network, ``raynas.trained_as``:
for each architecture of the space, by index, the index under which the file holds its runs, -1 for none. A
third, ``raynas.sha256``, is the hash of the two, one after the other; pages have Parquet's own checksums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from raynas.errors import InputError
from raynas.spaces import SearchSpace, get_space

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
MANIFEST = b"raynas.table"
TRAINED_AS = b"raynas.trained_as"
CHECKSUM = b"raynas.sha256"

Per = Literal["epoch", "architecture"]


@dataclass(frozen=True)
class Metric:
    """A measured column.

    Attributes:
        name: Ends in ``_pct`` for percent, ``_s`` for seconds, ``_m`` for millions.
        dtype: ``float32`` or ``float64``.
        unit: Unit of its values; empty where they have none.
        meaning: What it says.
        per: ``architecture`` if its value is the same for every seed and epoch of an architecture on a
            dataset.
    """

    name: str
    dtype: Literal["float32", "float64"]
    unit: str
    meaning: str
    per: Per = "epoch"


METRICS = (
    Metric("train_loss", "float32", "nats", "mean cross-entropy over the epoch's training batches"),
    Metric("train_accuracy_pct", "float64", "percent", "accuracy over the epoch's training batches"),
    Metric("valid_loss", "float32", "nats", "mean cross-entropy on the validation split"),
    Metric("valid_accuracy_pct", "float64", "percent", "accuracy on the validation split"),
    Metric("test_loss", "float32", "nats", "mean cross-entropy on the test split"),
    Metric("test_accuracy_pct", "float64", "percent", "accuracy on the test split"),
    Metric("cost_s", "float32", "seconds", "time the epoch took"),
    Metric(
        "parameters_m",
        "float64",
        "millions",
        "trainable parameters of the network that was trained",
        "architecture",
    ),
    Metric(
        "flops_m",
        "float64",
        "millions",
        "multiply-adds of one image in the network that was trained",
        "architecture",
    ),
)
"""The metrics that every table has a column for, be it empty."""

KEYS = {
    "dataset": "what was trained on",
    "schedule": "epochs for which the training was planned",
    "seed": "seed of the training",
    "index": "index of the architecture in its space",
    "architecture": "architecture in its space's notation",
    "epoch": "epochs trained",
}
"""The columns that identify a row, with what they mean."""


@dataclass(frozen=True)
class About:
    """Where a table comes from.

    Attributes:
        space: Search space, by name or path.
        built_by: Who or what made the file: a program with its version, a person.
        source: From what: the training that was done, or the file that was converted.
        constants: All that fixes the numbers: hyperparameters, splits, machine; anything that JSON can say.
    """

    space: str
    built_by: str
    source: str
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What a table holds for one dataset and schedule.

    Attributes:
        dataset: Its name.
        schedule: Epochs for which the training was planned.
        epochs: Those recorded, ascending.
        seeds: Those of which there is at least one run, ascending.
        known: For each metric that has values, the epochs at which it has some.
        n_runs: Number of runs.
    """

    dataset: str
    schedule: int
    epochs: tuple[int, ...]
    seeds: tuple[int, ...]
    known: Mapping[str, tuple[int, ...]]
    n_runs: int

    def __str__(self) -> str:
        lines = [
            f"{self.dataset}, schedule of {self.schedule} epochs: {self.n_runs:,} runs, "
            f"seeds {spans(self.seeds)}, epochs {spans(self.epochs)}"
        ]
        for metric, epochs in self.known.items():
            lines.append(f"  {metric}" + ("" if epochs == self.epochs else f": epochs {spans(epochs)} only"))
        return "\n".join(lines)


@dataclass(frozen=True)
class RowGroup:
    """What one row group of the file holds.

    Attributes:
        part: Number of the part.
        seed: Seed of its runs.
        n_runs: Number of its runs, each with a row for every epoch of the part.
    """

    part: int
    seed: int
    n_runs: int


@dataclass(frozen=True)
class Manifest:
    """The entry ``raynas.table`` of the key-value metadata.

    Attributes:
        about: Where the table comes from.
        operations: Operations of the space, by which a reader sees that it means the same space.
        metrics: All columns after the keys.
        parts: One a (dataset, schedule), in the order of writing.
        row_groups: One a row group of the file, in order.
    """

    about: About
    operations: tuple[str, ...]
    metrics: tuple[Metric, ...]
    parts: tuple[Part, ...]
    row_groups: tuple[RowGroup, ...]

    def to_json(self) -> bytes:
        """The manifest as text."""
        document = {"version": VERSION, **asdict(self)}
        document["row_groups"] = [[group.part, group.seed, group.n_runs] for group in self.row_groups]
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """The manifest that ``to_json`` wrote.

        Raises:
            InputError: It was written by a later version of the format.
            ValueError, TypeError, KeyError: The text is not a manifest.
        """
        document = json.loads(text)
        if document["version"] != VERSION:
            raise InputError(
                f"its format is version {document['version']!r} and this raynas reads version {VERSION}; "
                "update raynas, or make the file again with this one"
            )
        return cls(
            about=About(**document["about"]),
            operations=tuple(document["operations"]),
            metrics=tuple(Metric(**metric) for metric in document["metrics"]),
            parts=tuple(_part(part) for part in document["parts"]),
            row_groups=tuple(RowGroup(*map(int, group)) for group in document["row_groups"]),
        )

    def metric(self, name: str) -> Metric:
        """A column by its name."""
        return next(metric for metric in self.metrics if metric.name == name)

    def space(self) -> SearchSpace:
        """The search space, checked to be the one that the table was made for.

        Raises:
            InputError: There is none of that name, or it is another.
        """
        space = get_space(self.about.space)
        if space.operations != self.operations:
            raise InputError(
                f"it was made for a search space {self.about.space} with the operations "
                f"{', '.join(self.operations)}, and here {self.about.space} has {', '.join(space.operations)}"
            )
        return space


def checksum(*entries: bytes) -> bytes:
    """What the key-value metadata says of its other entries, so that a damaged one is not believed."""
    return hashlib.sha256(b"".join(entries)).hexdigest().encode()


def arrow_schema(metrics: Sequence[Metric]) -> pa.Schema:
    """The columns of a table's file."""
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    types = dict(zip(KEYS, (text, pa.int32(), pa.int64(), pa.int64(), text, pa.int32()), strict=True))
    keys = [
        pa.field(name, types[name], nullable=False, metadata={"meaning": meaning})
        for name, meaning in KEYS.items()
    ]
    measured = [
        pa.field(
            metric.name,
            pa.from_numpy_dtype(metric.dtype),
            metadata={"unit": metric.unit, "meaning": metric.meaning},
        )
        for metric in metrics
    ]
    return pa.schema([*keys, *measured])


def spans(numbers: Sequence[int]) -> str:
    """Ascending whole numbers in words: ``1 to 20``, ``777, 888 and 999``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [
        word
        for run in runs
        for word in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(number) for number in run])
    ]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]])) or "none"


def _part(document: dict[str, Any]) -> Part:
    lists = {key: tuple(map(int, document[key])) for key in ("epochs", "seeds")}
    known = {str(metric): tuple(map(int, epochs)) for metric, epochs in document["known"].items()}
    return Part(**{**document, **lists, "known": known})
