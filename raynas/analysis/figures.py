"""Figures of tidy frames: panels of lines with their spread, legible in grey and to the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Style:
    """How a series is drawn.

    Attributes:
        colour: As matplotlib takes it.
        marker: As matplotlib takes it.
        line: As matplotlib takes it; dashed for a variant of another series, say.
    """

    colour: str
    marker: str
    line: str = "-"


# Okabe and Ito's colours, the yellow left out, which is too light on white.
STYLES = tuple(
    map(
        Style,
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999"),
        "osD^vP*X",
    )
)


@dataclass(frozen=True)
class Axis:
    """What a panel shows.

    Attributes:
        x: Column of the horizontal axis; its values stand at equal distances, in order of appearance.
        series: Column whose values are the lines.
        columns: Column whose values are the panels of a row.
        rows: Column whose values are the rows of panels.
        x_label: With unit.
        y_label: With unit.
        segments: Column at whose changes a line is broken; empty for unbroken lines.
    """

    x: str
    series: str
    columns: str
    rows: str
    x_label: str
    y_label: str
    segments: str = ""


def panels(frame: pd.DataFrame, axis: Axis, title: str, *, styles: Mapping[str, Style]) -> Figure:
    """Means with their spread, and a paper's means as hollow marks where there are any.

    Args:
        frame: Tidy, with ``mean``, ``std`` (NaN for none) and, if a paper's figures are known, ``paper``.
        axis: Which columns go where.
        title: Above all.
        styles: By the series' name; one that is missing takes the next of ``STYLES``.
    """
    rows, columns, xs, series = (
        list(dict.fromkeys(frame[name])) for name in (axis.rows, axis.columns, axis.x, axis.series)
    )
    drawn = {name: styles.get(name, STYLES[number % len(STYLES)]) for number, name in enumerate(series)}
    wide = len(xs) == 1  # the series stand side by side where there is nothing else along the axis
    figure = blank((max(1.8 + 3.4 * len(columns), 6.4), 1.9 + 2.6 * len(rows)), title)
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey="col")
    for panel_row, row in zip(grid, rows, strict=True):
        for panel, column in zip(panel_row, columns, strict=True):
            part = frame[(frame[axis.rows] == row) & (frame[axis.columns] == column)]
            for number, (name, style) in enumerate(drawn.items()):
                offset = number if wide else (number - (len(series) - 1) / 2) * min(0.09, 0.5 / len(series))
                places = {x: (0 if wide else place) + offset for place, x in enumerate(xs)}
                _line(panel, part[part[axis.series] == name], axis, places, str(name), style)
            panel.set_title(f"{column}\n{axis.rows}: {row}" if len(rows) > 1 else str(column), fontsize=9.5)
            panel.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
            panel.spines[["top", "right"]].set_visible(False)
            panel.tick_params(labelsize=8.5)
    for panel in grid[-1]:
        if wide:
            panel.set_xticks(range(len(series)), [str(name) for name in series], rotation=40, ha="right")
            panel.set_xlim(-0.6, len(series) - 0.4)
        else:
            panel.set_xticks(range(len(xs)), [str(x).replace(" ", "\n", 1) for x in xs])
        panel.set_xlabel(f"{axis.x_label}: {xs[0]}" if wide else axis.x_label, fontsize=9)
    for panel in grid[:, 0]:
        panel.set_ylabel(axis.y_label, fontsize=9)
    if not wide:
        _legend(figure)
    return figure


def blank(size: tuple[float, float], title: str) -> Figure:
    """A figure without panels.

    Args:
        size: In inches.
        title: Above all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    return figure


def unframed(panel: Axes, axis: Literal["x", "y", "both"] = "both") -> None:
    """A light grid along some axes, no frame, small figures."""
    panel.grid(visible=True, axis=axis, color="#e4e4e4", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8.5)


def _legend(figure: Figure) -> None:
    """One for all panels, below them."""
    handles = {str(line.get_label()): line for panel in figure.axes for line in panel.get_lines()}
    shown = [label for label in handles if not label.startswith("_")]
    fitting = max(1, int(figure.get_figwidth() // (0.6 + 0.085 * max(map(len, shown)))))  # inches a label
    n_rows = -(-len(shown) // fitting)
    figure.legend(
        [handles[label] for label in shown],
        shown,
        loc="outside lower center",
        ncols=-(-len(shown) // n_rows),
        frameon=False,
        fontsize=9,
    )


def _line(
    panel: Axes,
    part: pd.DataFrame,
    axis: Axis,
    places: Mapping[object, float],
    label: str,
    style: Style,
) -> None:
    of_style: dict[str, Any] = {"color": style.colour, "marker": style.marker}
    pieces = [piece for _, piece in part.groupby(axis.segments, sort=False)] if axis.segments else [part]
    for piece in pieces:
        x = [places[value] for value in piece[axis.x]]
        mean, std = piece["mean"], piece["std"].fillna(0.0)
        panel.plot(x, mean, **of_style, linestyle=style.line, markersize=4.5, linewidth=1.3, label=label)
        panel.errorbar(x, mean, std, color=style.colour, linestyle="none", linewidth=0.9, alpha=0.45)
        if "paper" in piece and piece["paper"].notna().any():
            panel.plot(x, piece["paper"], **of_style, markersize=8, markerfacecolor="none", linestyle="none")
