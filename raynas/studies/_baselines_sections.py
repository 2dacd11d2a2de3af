"""The report on searches at equal cost: curves, a comparison, and what each search spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import markdown, trajectories
from raynas.analysis.report import Report, Section
from raynas.studies import _baselines_figure as figure
from raynas.studies import _baselines_text as text
from raynas.studies._baselines_experiments import VALUE, Frames
from raynas.studies._baselines_methods import RANDOM, Method
from raynas.studies._baselines_searches import PATIENCE
from raynas.studies._baselines_table import Material

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from raynas.studies.baselines import Baselines


def report(material: Material, methods: list[Method], frames: Frames, options: Baselines) -> Report:
    """The report.

    Args:
        material: What was searched.
        methods: Those asked for; one that is not in the frames could not run on the table.
        frames: All numbers.
        options: Of the study.
    """
    ran = set(frames.searches["method"])
    labels = {method.name: method.label for method in methods if method.name in ran}
    title = f"Searches at equal cost on {material.table.path.stem}"
    return Report(
        title,
        _about(material, methods, ran, options),
        [
            _curves(frames.curves, labels, material, title, options),
            _comparison(frames.summary, labels, options),
            _searches(frames.searches, labels, options),
        ],
    )


def about(
    wording: str,
    material: Material,
    options: Baselines,
    *,
    methods: Sequence[str],
    **more: object,
) -> str:
    """What was searched, with what budget, and how often, in the words of a study.

    Args:
        wording: With places for what is known here.
        material: What was searched.
        options: Of the comparison.
        methods: A line of Markdown each.
        more: What else the wording has places for.
    """
    table, part = material.table, material.part
    return wording.format(
        table=table.path.name,
        space=table.about.space,
        size=table.space.size,
        built_by=table.about.built_by,
        source=table.about.source,
        workers=f"{options.workers} worker{'s' * (options.workers > 1)}",
        budget=options.budget,
        last=material.last,
        epochs=options.budget * material.last,
        metric=f"`{material.objective.metric}`",
        dataset=f"{part.dataset}, schedule of {part.schedule} epochs",
        direction="maximised" if material.objective.mode == "max" else "minimised",
        reading=text.READINGS[options.reading],
        truth=f"{material.judge.dataset}, schedule of {material.judge.schedule} epochs",
        optimum=float(material.truth.max()),
        repeats=options.repeats,
        seed=options.seed,
        last_seed=options.seed + options.repeats - 1,
        methods="\n".join(methods),
        **more,
    )


def _about(material: Material, methods: list[Method], ran: set[str], options: Baselines) -> str:
    lines = [
        f"- **{method.label}**: {method.settings}."
        if method.name in ran
        else f"- **{method.label}** is left out: {material.no_early_stopping}."
        for method in methods
    ]
    return about(text.ABOUT, material, options, methods=lines)


def _curves(
    curves: pd.DataFrame, labels: Mapping[str, str], material: Material, title: str, options: Baselines
) -> Section:
    means, optimum = trajectories.mean_curves(curves, VALUE), float(material.truth.max())
    return Section(
        "curves",
        "What each search would return, against its cost",
        text.CURVES.format(repeats=options.repeats, value=VALUE),
        curves,
        figure=figure.draw(means, labels, optimum, title, n_trainings=options.budget),
    )


def _comparison(summary: pd.DataFrame, labels: Mapping[str, str], options: Baselines) -> Section:
    cells = [markdown.number(*of) for of in zip(summary["mean"], summary["std"], strict=True)]
    at = [f"{fraction * options.budget:g} trainings" for fraction in summary["fraction"]]
    shown = summary.assign(method=summary["method"].map(labels), at=at)
    wide = markdown.spread_out(shown, ["method"], "at", cells)
    full = summary[summary["fraction"] == 1.0]
    return Section(
        "comparison",
        "Test accuracy at equal cost",
        text.COMPARISON.format(repeats=options.repeats),
        summary,
        [
            (
                "",
                wide.assign(
                    **{"regret": list(map(markdown.number, full["regret"]))},
                    p=[p_value(p) for p in full["p_above_random"]],
                ),
            )
        ],
        finding=_finding(full, labels),
    )


def _finding(full: pd.DataFrame, labels: Mapping[str, str]) -> str:
    rows = zip(*(full[name] for name in ("method", "mean", "std", "p_above_random")), strict=True)
    found = {name: (mean, std, p) for name, mean, std, p in rows if not np.isnan(mean)}
    if not found:
        return ""
    best = max(found, key=lambda name: found[name][0])
    mean, std, p = found[best]
    said = f"Best at the whole budget: {labels[best]}, {markdown.number(mean, std)} %"
    if best != RANDOM and RANDOM in found:
        mean, std, _ = found[RANDOM]
        said += f"; random search: {markdown.number(mean, std)} %"
        said += f" (p = {p_value(p)})" if p_value(p) else ""
    return f"{said}."


def p_value(value: float) -> str:
    """A p-value as it is printed; nothing for none."""
    return "" if np.isnan(value) else f"{value:.2g}"


def _searches(searches: pd.DataFrame, labels: Mapping[str, str], options: Baselines) -> Section:
    means = searches.groupby("method", sort=False)[
        ["nominal", "unique", "to_the_end", "epochs", "seconds"]
    ].mean()
    shown = means.map("{:,.1f}".format).reset_index()
    shown["method"] = shown["method"].map(labels)
    names = {"to_the_end": "to the end", "epochs": "epochs trained", "seconds": "simulated seconds"}
    return Section(
        "searches",
        "What each search spent",
        text.SEARCHES.format(repeats=options.repeats, patience=PATIENCE),
        searches,
        [("", shown.rename(columns=names))],
    )
