"""Figures of the study of GeNAS: rank correlations over supernets, and losses over the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis.figures import STYLES, Style, blank, unframed
from raynas.studies._genas_landscape import GROUPS
from raynas.studies._genas_scores import SIZES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OWN, _OTHERS = STYLES[0].colour, "#8c8c8c"
_GROUP_STYLES = dict(zip(GROUPS, (STYLES[2], STYLES[5], STYLES[1]), strict=True))


def bars(summary: pd.DataFrame, every: pd.DataFrame, baselines: Sequence[str], title: str) -> Figure:
    """A bar a score, with a dot a supernet; the paper's own on CIFAR-10 as hollow diamonds.

    Args:
        summary: A row a score, with ``tau``, ``tau_std``, and ``paper_cifar10``, NaN where there is none.
        every: A row a (score, supernet).
        baselines: Scores that are drawn in grey; parameters also as a line.
        title: Above all.
    """
    names = summary["score"].tolist()
    figure = blank((8.6, 1.5 + 0.36 * len(names)), title)
    panel = figure.subplots()
    colours = [_OTHERS if name in baselines else _OWN for name in names]
    places = np.arange(len(names))
    panel.barh(places, summary["tau"], 0.66, color=colours, alpha=0.55)
    spread = summary["tau_std"].notna()
    panel.errorbar(
        summary.loc[spread, "tau"], places[spread], xerr=summary.loc[spread, "tau_std"], fmt="none",
        ecolor="#333333", elinewidth=1.0, capsize=2.5,
    )  # fmt: skip
    dots = every[every["supernet"] > 0]
    panel.plot(
        dots["tau"], [names.index(name) for name in dots["score"]], ".", color="#222222", markersize=4,
        label="one supernet",
    )  # fmt: skip
    if summary["paper_cifar10"].notna().any():
        panel.plot(
            summary["paper_cifar10"], places, "D", color="#000000", markerfacecolor="none", markersize=6,
            label="the paper's, CIFAR-10",
        )  # fmt: skip
    bar = float(summary.loc[summary["score"] == SIZES, "tau"].iloc[0])
    if np.isfinite(bar):
        panel.axvline(bar, color="#444444", linewidth=0.9, linestyle="--", label="number of parameters")
    panel.axvline(0, color="#444444", linewidth=0.8)
    panel.set_yticks(places, names)
    panel.invert_yaxis()
    panel.set_xlabel("Kendall's tau with test accuracy", fontsize=9.5)
    unframed(panel, "x")
    _legend(figure, panel)
    return figure


def landscape(frame: pd.DataFrame, title: str) -> Figure:
    """Losses over the noise, and how far they rise above those without it: each architecture, and means.

    Args:
        frame: As ``raynas.studies._genas_landscape.measure`` gives it.
        title: Above all.
    """
    figure = blank((11.0, 4.6), title)
    labels = {"loss": "validation loss (nats)", "rise": "rise of the loss (nats)"}
    for panel, (value, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        ends = []
        for group, style in _GROUP_STYLES.items():
            part = frame[frame["group"] == group]
            ends.append(_curves(panel, part, value, group, style))
        # single ones may rise out of sight
        low = min(0.0, float(frame[value].min()))
        panel.set_ylim(low - 0.03 * max(ends), 1.05 * max(ends))
        panel.set_xlim(0, frame["sigma"].max())
        panel.set_xlabel("standard deviation of the noise, sigma", fontsize=9.5)
        panel.set_ylabel(label, fontsize=9.5)
        unframed(panel)
    _legend(figure, panel)
    return figure


def _curves(panel: Axes, part: pd.DataFrame, value: str, group: str, style: Style) -> float:
    """The top of the band that is drawn."""
    means = part.pivot_table(value, "index", "sigma")
    for _, row in means.iterrows():
        panel.plot(row.index, row, color=style.colour, linewidth=0.6, alpha=0.35)
    groups = part.groupby("sigma")[value]
    mean, low, high = groups.mean(), groups.quantile(0.1), groups.quantile(0.9)
    panel.fill_between(mean.index, low, high, color=style.colour, alpha=0.15, linewidth=0)
    label = f"{group}: {part['test_accuracy_pct'].mean():.1f} % test accuracy"
    marked = [at for at, sigma in enumerate(mean.index) if not round(1000 * sigma, 6) % 10]
    panel.plot(
        mean.index, mean, color=style.colour, linestyle=style.line, marker=style.marker, markersize=4.5,
        markevery=marked, linewidth=1.8, label=label,
    )  # fmt: skip
    return float(max(mean.iloc[-1], high.iloc[-1]))


def _legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
