"""The figure of trajectories: plain DARTS in full, and every other preset against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis.figures import STYLES, Style, blank, unframed
from raynas.studies._differentiable_frames import VALUE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from raynas.studies._differentiable_presets import Preset
    from raynas.studies._differentiable_table import Truth

_PLAIN = Style("#000000", "")
_WITHOUT, _WITH = STYLES[0], Style(STYLES[1].colour, "s", "--")
_COLUMNS = 6
_LABELS = {
    VALUE: "test accuracy of the cell (%)",
    "skip_share": "weight of the skip connection",
    "skips": "skip connections in the cell",
}
_SHORT = {VALUE: "test accuracy (%)", "skips": "skip connections"}


def draw(
    presets: Sequence[Preset], epochs: pd.DataFrame, searches: pd.DataFrame, truth: Truth, title: str
) -> Figure:
    """A row for plain DARTS, then two panels for each preset and its A2M form.

    Args:
        presets: In the order to be shown, plain DARTS first.
        epochs: Of ``Frames``.
        searches: Of ``Frames``.
        truth: What cells are worth.
        title: Above all.
    """
    plain = presets[0].name
    n_groups = -(-sum(preset.partner is None for preset in presets) // _COLUMNS)
    heights = [3.2, 3.9 * n_groups]
    figure = blank((15.0, 0.7 + sum(heights)), title)
    above, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    _in_full(above, epochs[epochs["preset"] == plain], searches[searches["preset"] == plain], truth, plain)
    _beside(below, presets, epochs, n_groups, _n_edges(truth))
    return figure


def _beside(
    figure: SubFigure, presets: Sequence[Preset], epochs: pd.DataFrame, n_groups: int, n_edges: int
) -> None:
    """Every preset with its A2M form and plain DARTS: accuracies above, skip connections below."""
    plain = presets[0].name
    grid = figure.subplots(2 * n_groups, _COLUMNS, sharex=True, sharey="row", squeeze=False)
    for panel in grid.flat:
        panel.set_visible(False)
    for number, preset in enumerate(one for one in presets if one.partner is None):
        row, column = 2 * (number // _COLUMNS), number % _COLUMNS
        drawn = {plain: ("plain DARTS", _PLAIN)}
        if preset.name != plain:
            drawn[preset.name] = ("preset", _WITHOUT)
        drawn |= {one.name: ("with A2M", _WITH) for one in presets if one.partner == preset.name}
        for panel, value in zip(grid[row : row + 2, column], (VALUE, "skips"), strict=True):
            panel.set_visible(True)
            for name, (label, style) in drawn.items():
                _mean(panel, epochs[epochs["preset"] == name], value, label, style)
            panel.axvline(preset.epochs, color="#777777", linewidth=0.9, linestyle=":")
            unframed(panel)
            if column == 0:
                panel.set_ylabel(_SHORT[value], fontsize=9)
        grid[row, column].set_title(preset.name, fontsize=9.5)
        grid[row + 1, column].set_xlabel("epoch", fontsize=9)
        grid[row + 1, column].set_ylim(-0.2, n_edges + 0.2)
    _legend(figure, list(grid.flat))


def _in_full(
    figure: SubFigure, epochs: pd.DataFrame, searches: pd.DataFrame, truth: Truth, name: str
) -> None:
    figure.suptitle(f"plain DARTS ({name})", fontsize=10)
    answers = searches.dropna(subset=["answer_epoch"]).set_index("seed")["answer_epoch"]
    panels = dict(zip(_LABELS, figure.subplots(1, len(_LABELS)), strict=True))
    for value, panel in panels.items():
        for seed, part in epochs.groupby("seed"):
            panel.plot(part["epoch"], part[value], color=STYLES[0].colour, linewidth=0.8, alpha=0.5)
            answer = part[part["epoch"] == answers.get(seed, -1)]
            panel.plot(answer["epoch"], answer[value], "o", color=STYLES[1].colour, markersize=5)
        means = epochs.groupby("epoch")[value].mean()
        panel.plot(means.index, means, color=_PLAIN.colour, linewidth=2)
        panel.set_ylabel(_LABELS[value], fontsize=9)
        panel.set_xlabel("epoch", fontsize=9)
        unframed(panel)
    panels["skips"].set_ylim(-0.2, _n_edges(truth) + 0.2)
    panels["skip_share"].set_ylim(0, 1)
    for level, label in ((np.median(truth.random), "random, median"), (truth.test.max(), "best")):
        panels[VALUE].axhline(level, color="#777777", linewidth=0.9, linestyle="--")
        panels[VALUE].annotate(
            label, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )


def _mean(panel: Axes, part: pd.DataFrame, value: str, label: str, style: Style) -> None:
    grouped = part.groupby("epoch")[value]
    mean, std = grouped.mean(), grouped.std(ddof=0)
    panel.fill_between(mean.index, mean - std, mean + std, color=style.colour, alpha=0.13, linewidth=0)
    panel.plot(
        mean.index, mean, color=style.colour, linestyle=style.line, marker=style.marker, markersize=4,
        markevery=max(1, len(mean) // 6), linewidth=1.4, label=label,
    )  # fmt: skip


def _n_edges(truth: Truth) -> int:
    return int(truth.table.space.ops_table().shape[1])


def _legend(figure: SubFigure, panels: Sequence[Axes]) -> None:
    shown = {str(line.get_label()): line for panel in panels for line in panel.get_lines()}
    names = [name for name in shown if not name.startswith("_")]
    figure.legend(
        [shown[name] for name in names], names, loc="outside lower center", ncols=len(names), frameon=False,
        fontsize=9,
    )  # fmt: skip
