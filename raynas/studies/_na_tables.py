"""Tables of the report on neighborhoods, as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from raynas.analysis import markdown

if TYPE_CHECKING:
    import pandas as pd

    from raynas.analysis.neighborhoods import Floats

SIGNAL, READ_AT = "signal", "read at"


def by_signal(
    shown: pd.DataFrame, row: str, *keys: str, suffix: str = "", more: pd.DataFrame | None = None
) -> list[tuple[str, pd.DataFrame]]:
    """One captioned table a signal, with the paper's columns beside where there are any.

    Args:
        shown: Tidy, with ``signal``, ``read at``, ``quantity``, ``cell``, ``paper`` and ``paper_std``.
        row: Its column that names the rows.
        keys: More columns that do.
        suffix: Of the captions.
        more: Rows of the same kind whose quantities are further columns.
    """
    import pandas as pd

    index = [READ_AT, row, *keys]
    made = []
    for signal in dict.fromkeys(shown[SIGNAL]):
        part = shown[shown[SIGNAL] == signal]
        known = part[part["paper"].notna()]
        cells = [markdown.number(*of) for of in zip(known["paper"], known["paper_std"], strict=True)]
        sources = [part, known.assign(cell=cells, quantity=known["quantity"] + ", paper")]
        if more is not None:
            sources.append(more[more[SIGNAL] == signal])
        every = pd.concat(sources)
        if "unique" in keys:
            every = every.assign(unique=every["unique"].map("{:.1f}".format))
        wide = markdown.spread_out(every, index, "quantity", every["cell"])
        beside = [
            f"{name}{end}" for name in dict.fromkeys(part["quantity"]) for end in ("", ", paper", ", all")
        ]
        made.append(
            (f"**Signal: {signal}{suffix}.**", wide[[*index, *(name for name in beside if name in wide)]])
        )
    return made


def signs(shown: pd.DataFrame, rows: tuple[str, str], column: str, claim: str) -> str:
    """In how many fidelities and truths one row's mean lies below another's, by signal, in words.

    Args:
        shown: As in ``by_signal``.
        rows: The one that is claimed to be lower, and the other.
        column: That names the rows.
        claim: In words.
    """
    low, high = rows
    counts = []
    for signal in dict.fromkeys(shown[SIGNAL]):
        part = shown[shown[SIGNAL] == signal]
        wide = part.pivot_table("mean", [READ_AT, "quantity"], column)
        if low in wide and high in wide and low != high:
            counts.append(f"{(wide[low] < wide[high]).sum()} of {len(wide)} ({signal})")
    return f"{claim}, of all epochs and truths: {'; '.join(counts)}." if counts else ""


def truths(errors: Mapping[str, Floats]) -> pd.DataFrame:
    """What the truths are over the whole space.

    Args:
        errors: ``(size,)`` percent, by name.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "truth": name,
                "best": markdown.number(values.min()),
                "any": markdown.number(values.mean(), values.std()),
                "worst": markdown.number(values.max()),
            }
            for name, values in errors.items()
        ]
    )
