"""Frames as Markdown: numbers with their spread, wide tables from tidy ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def number(mean: float, std: float | None = None, *, digits: int = 2) -> str:
    """``6.39 ± 0.71``; the mean alone where there is no spread, nothing where there is no mean."""
    if not math.isfinite(mean):
        return ""
    spread = "" if std is None or not math.isfinite(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"


def spread_out(
    frame: pd.DataFrame, index: Sequence[str], column: str, cells: Sequence[str] | pd.Series[str]
) -> pd.DataFrame:
    """A tidy frame's cells, a row an index and a column a value of ``column``, in order of appearance.

    Args:
        frame: Tidy; at most one row for each index and column.
        index: Its columns that name a row.
        column: Its column whose values become columns.
        cells: One text for each of its rows.
    """
    import pandas as pd

    rows: dict[tuple[object, ...], dict[str, object]] = {}
    names = list(dict.fromkeys(frame[column]))
    for key, name, cell in zip(
        frame[list(index)].itertuples(index=False, name=None), frame[column], cells, strict=True
    ):
        rows.setdefault(key, dict(zip(index, key, strict=True)))[name] = cell
    return pd.DataFrame(list(rows.values()), columns=[*index, *names]).fillna("")


def table(frame: pd.DataFrame) -> str:
    """A frame of texts and whole numbers as a Markdown table."""
    head = [str(name) for name in frame.columns]
    body = [[str(cell) for cell in row] for row in frame.itertuples(index=False, name=None)]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
