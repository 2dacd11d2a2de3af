"""The report on proxies: their correlations, and their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import markdown
from raynas.analysis.report import Report, Section
from raynas.studies import _proxies_figure as figure
from raynas.studies import _proxies_paper as paper
from raynas.studies import _proxies_text as text
from raynas.studies._proxies_correlations import OVERLAP, RHO, TAU
from raynas.studies._proxies_table import VALID_NAME
from raynas.studies.proxies import BASELINES

if TYPE_CHECKING:
    import pandas as pd

    from raynas.predictors.scoring import Scored
    from raynas.studies._proxies_table import Material
    from raynas.studies.proxies import Proxies

_HEADINGS = {TAU: "tau", RHO: "rho", OVERLAP: "best tenth (%)"}


def report(material: Material, scored: Scored, frame: pd.DataFrame, options: Proxies) -> Report:
    """The report.

    Args:
        material: What was scored.
        scored: What the proxies say.
        frame: As ``correlations`` gives it.
        options: Of the study.
    """
    frame = _ordered(frame, next(iter(material.truths)))
    frame = frame.assign(
        published=_published(frame, material),
        seconds=frame["proxy"].map({name: float(np.median(of)) for name, of in scored.seconds.items()}),
    )
    title = f"Zero-cost proxies on {material.table.path.stem}, {material.part.dataset}"
    return Report(
        title,
        _about(material, options, beside=bool(frame["published"].notna().any())),
        [_correlations(frame, material, options, title), _scores(frame, material, scored, title)],
    )


def _ordered(frame: pd.DataFrame, truth: str) -> pd.DataFrame:
    """The baselines first, then from the greatest tau to the least."""
    taus = frame[(frame["statistic"] == TAU) & (frame["truth"] == truth)].set_index("proxy")["mean"]
    others = taus.drop(list(BASELINES)).sort_values(ascending=False, na_position="last", kind="stable")
    place = {name: number for number, name in enumerate([*BASELINES, *others.index])}
    return frame.sort_values("proxy", key=lambda names: names.map(place), kind="stable", ignore_index=True)


def _published(frame: pd.DataFrame, material: Material) -> list[float]:
    skeleton = material.skeleton
    alike = (
        material.table.about.space == paper.SPACE
        and material.schedules.get(VALID_NAME) == paper.SCHEDULE
        and (skeleton.channels, skeleton.cells, skeleton.stages) == paper.SKELETON
        and material.images == material.part.dataset
    )
    figures = paper.published(material.part.dataset) if alike else {}
    place = {RHO: 0, TAU: 1}
    return [
        figures[proxy][place[statistic]]
        if truth == VALID_NAME and statistic in place and proxy in figures
        else float("nan")
        for proxy, truth, statistic in zip(frame["proxy"], frame["truth"], frame["statistic"], strict=True)
    ]


def _about(material: Material, options: Proxies, *, beside: bool) -> str:
    table = material.table
    first = next(iter(material.truths.values()))
    return text.ABOUT.format(
        table=table.path.name,
        space=table.about.space,
        n_there=material.n_there,
        size=table.space.size,
        built_by=table.about.built_by,
        source=table.about.source,
        n=len(material.indices),
        seed=options.seed,
        n_different=len(np.unique(first)),
        truths=" and ".join(material.truths),
        dataset=f"{material.part.dataset}, schedule of {material.part.schedule} epochs",
        ceiling="" if np.isnan(material.ceiling) else text.CEILING.format(tau=material.ceiling),
        skeleton=material.skeleton,
        batch_size=options.batch_size,
        images=material.images,
        repeats=options.repeats,
        paper=text.BESIDE if beside else text.NO_PAPER,
    )


def _correlations(frame: pd.DataFrame, material: Material, options: Proxies, title: str) -> Section:
    truth = next(iter(material.truths))
    n = len(material.indices)
    return Section(
        "correlations",
        "Rank correlation with final accuracy",
        text.CORRELATIONS.format(
            by_chance=100 * max(1, round(n / 10)) / n,
            repeats=options.repeats,
            resamples=options.resamples,
            truth=truth,
        ),
        frame,
        [("", _wide(frame, truth))],
        figure=figure.bars(frame, BASELINES, title),
        finding=_finding(frame, truth),
    )


def _wide(frame: pd.DataFrame, first: str) -> pd.DataFrame:
    digits = [1 if statistic == OVERLAP else 2 for statistic in frame["statistic"]]
    cells = [
        markdown.number(mean, std, digits=n_digits)
        for mean, std, n_digits in zip(frame["mean"], frame["std"], digits, strict=True)
    ]
    columns = [
        f"{_HEADINGS[statistic]}, {truth}"
        for statistic, truth in zip(frame["statistic"], frame["truth"], strict=True)
    ]
    wide = markdown.spread_out(frame.assign(column=columns), ["proxy"], "column", cells)
    of_tau = frame[(frame["statistic"] == TAU) & (frame["truth"] == first)]
    wide["above params and flops"] = [
        "" if np.isnan(share) else f"{share:.2f}" for share in of_tau["above_baselines"]
    ]
    wide["ms a network"] = [f"{1e3 * seconds:.1f}" for seconds in of_tau["seconds"]]
    for statistic in (TAU, RHO):
        of_paper = frame[(frame["statistic"] == statistic) & (frame["truth"] == VALID_NAME)]
        if of_paper["published"].notna().any():
            values = [markdown.number(value, digits=3) for value in of_paper["published"]]
            wide[f"published {_HEADINGS[statistic]}"] = values
    return wide


def _finding(frame: pd.DataFrame, truth: str) -> str:
    taus = frame[(frame["statistic"] == TAU) & (frame["truth"] == truth)].set_index("proxy")
    said = [
        f"{name} {markdown.number(taus.loc[name, 'mean'], taus.loc[name, 'std'])}"
        for name in [
            *BASELINES,
            *(taus["mean"].drop(list(BASELINES)).nlargest(3).index),
        ]
        if np.isfinite(taus.loc[name, "mean"])
    ]
    return f"Kendall's tau with {truth}: {', '.join(said)}." if said else ""


def _scores(frame: pd.DataFrame, material: Material, scored: Scored, title: str) -> Section:
    import pandas as pd

    truth, values = next(iter(material.truths.items()))
    of_tau = frame[(frame["statistic"] == TAU) & (frame["truth"] == truth)]
    titles = {
        name: f"{name}: tau {markdown.number(tau)}".removesuffix(": tau ")
        for name, tau in zip(of_tau["proxy"], of_tau["mean"], strict=True)
    }
    texts = [str(architecture) for architecture in material.architectures]
    accuracies = {f"{name.replace(' ', '_')}_pct": of for name, of in material.truths.items()}
    rows = [
        pd.DataFrame(
            {
                "index": material.indices,
                "architecture": texts,
                "proxy": name,
                "repeat": repeat,
                "score": scored.scores[name][repeat],
                "seconds": scored.seconds[name][repeat],
                **accuracies,
            }
        )
        for name in titles
        for repeat in range(len(scored.scores[name]))
    ]
    return Section(
        "scores",
        "Accuracy against rank by score",
        text.SCORES,
        pd.concat(rows, ignore_index=True),
        figure=figure.scatter(
            {name: scored.scores[name][0] for name in titles},
            values,
            titles,
            label=f"{truth} (%)",
            title=title,
        ),
    )
