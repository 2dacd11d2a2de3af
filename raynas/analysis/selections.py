"""Architectures that a criterion selects, and what they are worth. Equal scores are told apart by lot.

Readings on a small validation set repeat: in a list of the 100 best, the last places are a tie. Which of the
tied are taken is drawn again in every repeat, so that no place in the space's own order is preferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raynas.analysis.neighborhoods import Floats
from raynas.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Selection = npt.NDArray[np.integer[Any]]
"""``(n_repeats, n)`` indices of the architectures selected."""


def best(rng: np.random.Generator, scores: Floats, n: int, repeats: int) -> Selection:
    """The n architectures of the least scores.

    Args:
        rng: Decides between equal scores.
        scores: ``(size,)``, lower is better.
        n: Architectures to take.
        repeats: Times that ties are decided.

    Returns:
        ``(repeats, n)``, rows of the same members where no tie lies across the end of the list. Not in the
        order of score.

    Raises:
        InputError: There are fewer than n.
    """
    if not 0 < n <= scores.size:
        raise InputError(f"n_top: {n} must be from 1 to the {scores.size:,} architectures there are")
    last = np.partition(scores, n - 1)[n - 1]
    sure = np.flatnonzero(scores < last)
    tied = np.flatnonzero(scores == last)
    drawn = rng.permuted(np.tile(tied, (repeats, 1)), axis=1)[:, : n - sure.size]
    return np.concatenate([np.tile(sure, (repeats, 1)), drawn], axis=1)


def halves(selection: Selection, spread: Floats) -> tuple[Selection, Selection]:
    """Splits selections into their flat and their sharp half (Table 1a; Wang et al. 2021).

    Args:
        selection: ``(n_repeats, n)``.
        spread: ``(size,)`` neighborhood variance.

    Returns:
        The n // 2 members of the least spread, and the others.
    """
    order = np.argsort(spread[selection], axis=1, kind="stable")
    ordered = np.take_along_axis(selection, order, axis=1)
    half = selection.shape[1] // 2
    return ordered[:, :half], ordered[:, half:]


def judge(selection: Selection, quantities: Mapping[str, Floats]) -> pd.DataFrame:
    """What selected architectures are worth.

    Args:
        selection: ``(n_repeats, n)``.
        quantities: ``(size,)`` values by name.

    Returns:
        One row a quantity, in its unit: ``mean`` over members and repeats; ``std_members``, the standard
        deviation over the n members of one repeat (root of the mean variance); ``std_repeats``, that of the
        repeats' means; both with ddof 0; ``n_members`` and ``n_repeats``.
    """
    import pandas as pd

    rows = []
    for name, values in quantities.items():
        chosen = values[selection]
        rows.append(
            {
                "quantity": name,
                "mean": chosen.mean(),
                "std_members": np.sqrt(chosen.var(axis=1).mean()),
                "std_repeats": chosen.mean(axis=1).std(),
                "n_members": selection.shape[1],
                "n_repeats": selection.shape[0],
            }
        )
    return pd.DataFrame(rows)
