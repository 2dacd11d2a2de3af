"""The figure of the comparison: what each search would return, against both of its costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from raynas.analysis.figures import STYLES, Style
from raynas.studies._baselines_experiments import EPOCHS, SECONDS
from raynas.studies._baselines_methods import RANDOM

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One colour a family; a variant is dashed.
_STYLE = {
    RANDOM: Style("#000000", "*"),
    "regularized_evolution": STYLES[0],
    "local_search": STYLES[4],
    "tpe": STYLES[3],
    "na_rs_mean": STYLES[2],
    "na_rs_median": Style(STYLES[2].colour, "P", "--"),
    "asha_promotion": STYLES[1],
    "asha_stopping": Style(STYLES[1].colour, "v", "--"),
}
_N_MARKS = 7


def draw(
    means: pd.DataFrame, labels: Mapping[str, str], optimum: float, title: str, *, n_trainings: int
) -> Figure:
    """Mean curves with a band of one standard error, a panel for each cost.

    Args:
        means: As ``trajectories.mean_curves`` gives them.
        labels: Of the methods, by name, in order.
        optimum: Drawn as a line.
        title: Above all.
        n_trainings: Of the budget; the first is not shown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    panels = figure.subplots(1, 2, sharey=True)
    for panel, axis, what in zip(
        panels, (EPOCHS, SECONDS), ("epochs trained", "simulated seconds"), strict=True
    ):
        part = means[means["axis"] == axis]
        for number, name in enumerate(labels):
            curve(panel, part[part["method"] == name], labels[name], _STYLE[name], number)
        panel.axhline(optimum, color="#777777", linewidth=0.9, linestyle=":", label="best of the table")
        panel.set_xscale("log")
        panel.set_xlim(part["cost"].max() / n_trainings, part["cost"].max() * 1.1)
        panel.set_xlabel(what, fontsize=9.5)
        panel.grid(visible=True, color="#e4e4e4", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8.5)
    late = means[means["cost"] >= 0.1 * means.groupby("axis")["cost"].transform("max")]
    if (lowest := late["mean"].min()) < optimum:
        panels[0].set_ylim(lowest - 0.25 * (optimum - lowest), optimum + 0.08 * (optimum - lowest))
    panels[0].set_ylabel("test accuracy of the incumbent (%)", fontsize=9.5)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


def curve(panel: Axes, part: pd.DataFrame, label: str, style: Style, number: int) -> None:
    """One mean curve in steps, with its band.

    Args:
        panel: Where.
        part: Its rows, as ``trajectories.mean_curves`` gives them.
        label: In the legend.
        style: How it is drawn.
        number: Of the curve, so that marks of different ones stand apart.
    """
    x, mean, error = part["cost"], part["mean"], part["standard_error"].fillna(0.0)
    every = max(1, len(x) // _N_MARKS)
    low, high = mean - error, mean + error
    panel.fill_between(x, low, high, step="post", color=style.colour, alpha=0.12, linewidth=0)
    panel.plot(
        x,
        mean,
        color=style.colour,
        linestyle=style.line,
        linewidth=1.5,
        drawstyle="steps-post",
        marker=style.marker,
        markersize=5,
        markevery=(number % every, every),
        label=label,
    )
