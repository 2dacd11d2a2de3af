"""What the study of differentiable searches reads from a table: what every cell is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raynas.errors import InputError
from raynas.seeding import generator
from raynas.studies._differentiable_presets import SPACE
from raynas.studies._truth import TEST, VALID, Floats, final, tested

if TYPE_CHECKING:
    from raynas.benchmarks import Part, Table
    from raynas.studies.differentiable import Differentiable


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
    part = tested(table, options.dataset)
    there = table.architectures(part.dataset, part.schedule)
    if there.size < table.space.size:
        raise InputError(
            f"{table.path}: holds {there.size:,} of {table.space.size:,} architectures, and a search may "
            "derive any; give a table of all"
        )
    test = final(table, TEST, part)
    rng = generator(options.seed, "study", "differentiable", "random")
    return Truth(
        table=table,
        part=part,
        test=test,
        valid=final(table, VALID, part) if VALID in part.known else np.full(test.shape, np.nan),
        random=test[rng.integers(test.size, size=options.random_cells)],
    )
