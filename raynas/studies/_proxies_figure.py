"""Figures of the study of proxies: bars of correlations, and accuracies against ranks of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis.figures import STYLES, blank, unframed
from raynas.studies._proxies_correlations import OVERLAP, RHO, TAU, Floats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_LABELS = {
    TAU: "Kendall's tau",
    RHO: "Spearman's rho",
    OVERLAP: "best tenth found (%)",
}
_COLUMNS = 4


def bars(frame: pd.DataFrame, baselines: Sequence[str], title: str) -> Figure:
    """A panel a statistic, a group of bars a proxy, a bar a truth; published figures as hollow diamonds.

    Args:
        frame: As ``correlations`` gives it, with ``published``, in the order to be shown.
        baselines: The best of them with the first truth is drawn as a line.
        title: Above all.
    """
    names, truths = list(dict.fromkeys(frame["proxy"])), list(dict.fromkeys(frame["truth"]))
    figure = blank((11.0, 1.7 + 0.36 * len(names)), title)
    for panel, (statistic, label) in zip(figure.subplots(1, 3, sharey=True), _LABELS.items(), strict=True):
        of_statistic = frame[frame["statistic"] == statistic]
        height = 0.8 / len(truths)
        for number, truth in enumerate(truths):
            part = of_statistic[of_statistic["truth"] == truth]
            places = np.arange(len(names)) + (number - (len(truths) - 1) / 2) * height
            panel.barh(
                places,
                part["mean"],
                height * 0.9,
                xerr=part["std"],
                color=STYLES[4 * number].colour,
                alpha=0.85 if number == 0 else 0.55,
                error_kw={"elinewidth": 0.9, "ecolor": "#333333", "capsize": 1.8},
                label=truth,
            )
            if part["published"].notna().any():
                panel.plot(
                    part["published"], places, "D", color="#000000", markerfacecolor="none", markersize=5,
                    label="published",
                )  # fmt: skip
        first = of_statistic[of_statistic["truth"] == truths[0]]
        bar = first[first["proxy"].isin(baselines)]["mean"].max()
        panel.axvline(bar, color="#444444", linewidth=0.9, linestyle="--", label="better baseline")
        panel.axvline(0, color="#444444", linewidth=0.8)
        panel.set_yticks(range(len(names)), names)
        panel.set_xlabel(label, fontsize=9.5)
        unframed(panel, "x")
    panel.invert_yaxis()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.legend(
        list(shown.values()), list(shown), loc="outside lower center", ncols=len(shown), frameon=False,
        fontsize=9,
    )  # fmt: skip
    return figure


def scatter(
    scores: Mapping[str, Floats], truth: Floats, titles: Mapping[str, str], *, label: str, title: str
) -> Figure:
    """A panel a proxy.

    Args:
        scores: ``(n,)`` by the proxy's name.
        truth: ``(n,)`` percent.
        titles: Of the panels, by the proxy's name, in the order to be shown.
        label: Of the truth.
        title: Above all.
    """
    from scipy.stats import rankdata

    n_rows = -(-len(titles) // _COLUMNS)
    figure = blank((11.0, 0.9 + 2.1 * n_rows), title)
    grid = figure.subplots(n_rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for panel, (name, of_panel) in zip(grid.flat, titles.items(), strict=False):
        rank = rankdata(scores[name])
        panel.plot(rank, truth, ".", color=STYLES[0].colour, markersize=3.5, alpha=0.55, markeredgewidth=0)
        panel.set_title(of_panel, fontsize=9.5)
        unframed(panel, "both")
    for panel in grid.flat[len(titles) :]:
        panel.set_visible(False)
    figure.supxlabel("rank of the score", fontsize=9.5)
    figure.supylabel(label, fontsize=9.5)
    return figure
