"""What the study of differentiable searches reads from a table: what every cell is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raynas.assets import suggestion
from raynas.errors import InputError
from raynas.seeding import generator
from raynas.studies._differentiable_presets import SPACE

if TYPE_CHECKING:
    from raynas.benchmarks import Part, Table
    from raynas.studies.differentiable import Differentiable

TEST, VALID = "test_accuracy_pct", "valid_accuracy_pct"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What cells are worth.

    Attributes:
        table: Where the numbers are from.
        part: The trainings that they are of.
        test: ``(size,)`` final test accuracy of every cell in percent, the mean over the table's seeds.
        valid: The same of validation accuracy; NaN where the table has none.
        random: ``(n,)`` final test accuracies of random cells.
    """

    table: Table
    part: Part
    test: Floats
    valid: Floats
    random: Floats

    def indices(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """``(n,)`` of cells in the space's notation."""
        space = self.table.space
        known = {text: space.index(space.parse(text)) for text in dict.fromkeys(texts)}
        return np.array([known[text] for text in texts], dtype=np.int64)

    def beaten(self, accuracy: float) -> float:
        """The share of the random cells that a test accuracy in percent lies above."""
        # Means over seeds of the same trainings may differ in the last bits.
        return float(np.mean(self.random < accuracy - 1e-9))


def read(table: Table, options: Differentiable) -> Truth:
    """Reads a table of the whole of a space of NAS-Bench-201's kind.

    Raises:
        InputError: It is of another kind or of a part, or lacks the dataset or its test accuracy.
    """
    if table.space.kind != SPACE:
        raise InputError(
            f"{table.path}: its cells are of kind '{table.space.kind}'; the presets search cells of {SPACE}"
        )
    part = _tested(table, options.dataset)
    there = table.architectures(part.dataset, part.schedule)
    if there.size < table.space.size:
        raise InputError(
            f"{table.path}: holds {there.size:,} of {table.space.size:,} architectures, and a search may "
            "derive any; give a table of all"
        )
    test = _final(table, part, TEST)
    rng = generator(options.seed, "study", "differentiable", "random")
    return Truth(
        table=table,
        part=part,
        test=test,
        valid=_final(table, part, VALID) if VALID in part.known else np.full(test.shape, np.nan),
        random=test[rng.integers(test.size, size=options.random_cells)],
    )


def _tested(table: Table, dataset: str | None) -> Part:
    """The longest trainings with a test accuracy: on CIFAR-10, else the first that has it."""
    if dataset is not None and dataset not in table.datasets:
        hint = suggestion(dataset, list(table.datasets))
        raise InputError(f"{table.path}: no dataset '{dataset}'{hint} There is: {', '.join(table.datasets)}")
    having = [part for part in table.parts if TEST in part.known and dataset in (None, part.dataset)]
    if not having:
        raise InputError(f"{table.path}: no {TEST}, which is the truth; give another table or dataset")
    names = [part.dataset for part in having]
    name = "cifar10" if "cifar10" in names else names[0]
    return max((part for part in having if part.dataset == name), key=lambda part: part.schedule)


def _final(table: Table, part: Part, metric: str) -> Floats:
    last = part.known[metric][-1]
    return table.query(metric, dataset=part.dataset, schedule=part.schedule, epoch=last)
