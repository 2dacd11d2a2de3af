"""Figures of the study: answers against epochs, who came to RANK-NOSH's quality when, and the ablations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis.figures import STYLES, Style
from raynas.studies._baselines_figure import curve
from raynas.studies._baselines_methods import RANDOM
from raynas.studies._rank_nosh_methods import PLAIN, RANK_NOSH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One colour a family: pausing the same trials without the predictor is dashed, and so is Hyperband.
_STYLE = {
    RANK_NOSH: Style("#000000", "o"),
    "nosh": Style("#000000", "v", "--"),
    PLAIN: STYLES[0],
    "successive_halving": STYLES[1],
    "hyperband": Style(STYLES[1].colour, "D", "--"),
    "asha_promotion": STYLES[5],
    "regularized_evolution": STYLES[2],
    "tpe": STYLES[3],
    RANDOM: STYLES[7],
}
_LATE = 0.15  # of the budget


def answers(
    means: pd.DataFrame, labels: Mapping[str, str], *, optimum: float, cost: float, title: str
) -> Figure:
    """Mean curves with a band of one standard error.

    Args:
        means: As ``trajectories.mean_curves`` gives them.
        labels: Of the methods, by name, in order.
        optimum: Drawn as a line.
        cost: Epochs of RANK-NOSH, drawn as a line.
        title: Above all.
    """
    figure, (panel,) = _figure((9.0, 5.6), 1, title)
    for number, name in enumerate(labels):
        curve(panel, means[means["method"] == name], labels[name], _STYLE[name], number)
    panel.axvline(cost, color="#777777", linewidth=0.9, linestyle="--")
    _finished(panel, last=means["cost"].max(), lowest=_lowest(means), optimum=optimum)
    _legend(figure, panel)
    return figure


def reached(
    frame: pd.DataFrame, labels: Mapping[str, str], *, cost: float, times: float, title: str
) -> Figure:
    """In how many repeats each method had come to RANK-NOSH's final quality to stay.

    Args:
        frame: As ``needed`` gives it.
        labels: Of the methods, by name, in order.
        cost: Epochs of RANK-NOSH, drawn as a line.
        times: Where a second line is, in these.
        title: Above all.
    """
    figure, (panel,) = _figure((9.0, 5.2), 1, title)
    of_leader = frame[frame["leader"] == RANK_NOSH]
    for name, label in labels.items():
        part = of_leader[of_leader["chaser"] == name]
        moments = np.sort(part.loc[np.isfinite(part["epochs"]), "epochs"].to_numpy())
        share = 100 * np.arange(len(moments) + 1) / len(part)
        style = _STYLE[name]
        panel.step(
            [1.0, *moments, part["until"].max()],
            [*share, share[-1]],
            where="post",
            color=style.colour,
            linestyle=style.line,
            linewidth=1.5,
            marker=style.marker,
            markersize=3.5,
            label=label,
        )
    for line in (cost, times * cost):
        panel.axvline(line, color="#777777", linewidth=0.9, linestyle="--")
    panel.set_xscale("log")
    panel.set_xlim(cost / 20, max(of_leader["until"].max(), times * cost) * 1.1)
    panel.set_ylim(-2, 102)
    panel.set_xlabel("epochs trained", fontsize=9.5)
    panel.set_ylabel("repeats at RANK-NOSH's final quality (%)", fontsize=9.5)
    _legend(figure, panel)
    return figure


def ablations(
    panels: Mapping[str, pd.DataFrame], labels: Mapping[str, str], *, optimum: float, cost: float, title: str
) -> Figure:
    """A panel an ablation, RANK-NOSH itself in black in each.

    Args:
        panels: Mean curves by the ablation's name, RANK-NOSH's first.
        labels: Of the methods and variants, by name.
        optimum: Drawn as a line.
        cost: Epochs of RANK-NOSH, drawn as a line.
        title: Above all.
    """
    figure, axes = _figure((4.0 * min(3, len(panels)), 3.4 * -(-len(panels) // 3) + 0.6), len(panels), title)
    lowest = min(map(_lowest, panels.values()))
    for panel, (name, means) in zip(axes, panels.items(), strict=True):
        for number, method in enumerate(dict.fromkeys(means["method"])):
            style = _STYLE.get(method) or STYLES[(1, 2, 3, 5)[(number - 1) % 4]]
            curve(panel, means[means["method"] == method], labels[method], style, number)
        panel.axvline(cost, color="#777777", linewidth=0.9, linestyle="--")
        panel.set_title(name, fontsize=10)
        _finished(panel, last=means["cost"].max(), lowest=lowest, optimum=optimum)
        panel.legend(fontsize=7.5, frameon=False, loc="lower right")
    return figure


def _figure(size: tuple[float, float], n_panels: int, title: str) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    n_columns = min(3, n_panels)
    grid = figure.subplots(-(-n_panels // n_columns), n_columns, squeeze=False)
    for panel in grid.flat:
        panel.grid(visible=True, color="#e4e4e4", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8.5)
    for panel in grid.flat[n_panels:]:
        panel.set_visible(False)
    return figure, list(grid.flat[:n_panels])


def _lowest(means: pd.DataFrame) -> float:
    """Of the means of late costs; what came before does not set the scale."""
    return float(means.loc[means["cost"] >= _LATE * means["cost"].max(), "mean"].min())


def _finished(panel: Axes, *, last: float, lowest: float, optimum: float) -> None:
    """Logarithmic epochs, and accuracies up to the best there is, with room for a legend below."""
    panel.axhline(optimum, color="#777777", linewidth=0.9, linestyle=":", label="best of the table")
    panel.set_xscale("log")
    panel.set_xlim(last / 100, last * 1.1)
    if lowest < optimum:
        panel.set_ylim(lowest - 0.5 * (optimum - lowest), optimum + 0.08 * (optimum - lowest))
    panel.set_xlabel("epochs trained", fontsize=9.5)
    panel.set_ylabel("test accuracy of the answer (%)", fontsize=9.5)


def _legend(figure: Figure, panel: Axes) -> None:
    handles, names = panel.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
