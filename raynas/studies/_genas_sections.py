"""The report on GeNAS: rank correlations, settings, sums of scores, losses over the noise, all numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raynas.analysis.report import Report, Section
from raynas.flatness.metric.flatness import Flatness
from raynas.oneshot.settings import Recalibration
from raynas.studies import _genas_figure as figure
from raynas.studies import _genas_tables as tables
from raynas.studies import _genas_text as text
from raynas.studies._genas_correlations import ALPHA_TABLE, NOISE_TABLE, VALID_SCORE, Correlations, summary
from raynas.studies._genas_probes import ALL_LEVELS, HESSIAN, LOSS, SIGMA, probes, written
from raynas.studies._genas_scores import LOW_LOSS, N_TOP, SIZES, scores
from raynas.studies._proxies_figure import scatter

if TYPE_CHECKING:
    import pandas as pd

    from raynas.studies._genas_material import Material
    from raynas.studies._genas_measuring import Readings
    from raynas.studies.genas import Genas

_BASELINES = (LOW_LOSS, SIZES, VALID_SCORE)


def report(
    material: Material,
    readings: Sequence[Readings],
    correlations: Correlations,
    landscape: pd.DataFrame,
    options: Genas,
) -> Report:
    """The report.

    Args:
        material: What was measured.
        readings: In each supernet.
        correlations: Of scores with the truth.
        landscape: Losses over the noise.
        options: Of the study.
    """
    name = str(material.supernets[0].about.dataset["name"])
    title = f"GeNAS: supernets of {name}, table {material.table.path.stem}"
    sections = [
        _scores(material, correlations, title),
        _settings(readings, correlations),
        _combinations(correlations, min(N_TOP, material.truth.size)),
        _landscape(landscape, title),
        _subnets(material, readings, correlations, title),
        _losses(material, readings, options),
    ]
    made = [section for section in sections if section is not None]
    return Report(title, _about(material, correlations, options), made)


def _about(material: Material, correlations: Correlations, options: Genas) -> str:
    table, part, first = material.table, material.part, material.supernets[0].about
    skeleton = dict(first.skeleton)
    sizes = ", ".join(f"{name} {value}" for name, value in skeleton.items() if name != "name")
    n = len(material.supernets)
    return text.ABOUT.format(
        table=table.path.name,
        space=table.about.space,
        built_by=table.about.built_by,
        source=table.about.source,
        n_supernets=f"{n} of them" if n > 1 else "one",
        epochs=first.epochs,
        dataset=first.dataset["name"],
        labels="" if first.labels == "true" else f" with {first.labels} labels",
        skeleton=f"skeleton {skeleton['name']} ({sizes})" if sizes else f"skeleton {skeleton['name']}",
        paths="one cell in all places" if first.share_across_cells else "each cell's path drawn for itself",
        seeds=", ".join(str(one.about.seed) for one in material.supernets),
        n=material.truth.size,
        n_there=material.n_there,
        seed=options.seed,
        n_dead=int((~material.lives).sum()),
        part=part.dataset,
        schedule=part.schedule,
        ceiling="" if math.isnan(material.ceiling) else text.CEILING.format(tau=material.ceiling),
        n_images=f"up to {Recalibration.n_images:,}",
        n_valid="all" if material.n_valid is None else f"up to {material.n_valid:,}",
        images=options.images or first.dataset["name"],
        sigma=written(SIGMA),
        alpha=Flatness.alpha,
        n_dropped=int(correlations.scores["dropped"].sum()),
    )


def _scores(material: Material, correlations: Correlations, title: str) -> Section:
    every, truth = correlations.scores, np.sort(material.truth)
    means = tables.with_published(summary(every, ["score"]))
    return Section(
        "scores",
        "How well scores rank",
        text.SCORES.format(
            n_top=min(N_TOP, truth.size), n=truth.size, mean=truth.mean(), best=truth[-N_TOP:].mean()
        ),
        every,
        [("", tables.scores(means)), ("**Two scores with each other.**", tables.pairs(correlations.pairs))],
        figure=figure.bars(means, every, _BASELINES, title),
        finding=_taus(means),
    )


def _taus(means: pd.DataFrame) -> str:
    cells = dict(zip(means["score"], tables.scores(means)["tau"], strict=True))
    said = [f"{name} {cell}" for name, cell in cells.items() if "gamma" not in name and cell]
    return f"Kendall's tau with test accuracy: {', '.join(said)}."


def _settings(readings: Sequence[Readings], correlations: Correlations) -> Section:
    every = correlations.settings
    shown = [(text.SIGMA, tables.sigma(every)), (text.ALPHA, tables.alpha(every))]
    if (every["table"] == NOISE_TABLE).any():
        shown.append((text.NOISE.format(hessian=_along_hessian(readings)), tables.noise(every)))
    of_alpha = every[every["table"] == ALPHA_TABLE].groupby("row")["tau"].mean()
    asked = sorted(every["asked"].unique().tolist(), reverse=True)
    return Section(
        "settings",
        "Flatness by how it is measured",
        text.SETTINGS.format(errors=", ".join(f"{_error(n):.2f} where n is {n:,}" for n in asked)),
        every,
        shown,
        finding=f"Tau of the slopes alone (alpha 0) {of_alpha['0']:.2f}, with the loss (alpha 1) "
        f"{of_alpha['1']:.2f}.",
    )


def _along_hessian(readings: Sequence[Readings]) -> str:
    if HESSIAN not in readings[0].numbers:
        return ""
    seconds = {name: np.mean([one.seconds[name] for one in readings]) for name in (HESSIAN, ALL_LEVELS)}
    return text.ALONG_HESSIAN.format(**seconds)


def _error(n: int) -> float:
    """Standard deviation of tau over draws of n of unrelated values."""
    return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))


def _combinations(correlations: Correlations, n_top: int) -> Section | None:
    every = correlations.combinations
    if every.empty:
        return None
    return Section(
        "combinations",
        "Sums of two scores",
        text.COMBINATIONS.format(n_top=n_top),
        every,
        tables.combinations(every),
    )


def _landscape(frame: pd.DataFrame, title: str) -> Section | None:
    if frame.empty:
        return None
    table = tables.landscape(frame, (0.0, *SIGMA, float(frame["sigma"].max())))
    n = frame.groupby("group")["index"].nunique().max()
    rises = frame[frame["sigma"] == SIGMA[-1]].groupby("group", sort=False)["rise"].mean()
    said = ", ".join(f"{group} {rise:.2f}" for group, rise in rises.items())
    return Section(
        "landscape",
        "Loss over the noise",
        text.LANDSCAPE.format(n=n),
        frame,
        [("Mean over architectures and supernets ± standard deviation, in nats.", table)],
        figure=figure.landscape(frame, title),
        finding=f"Rise of the loss at sigma {SIGMA[-1]:g}, in nats: {said}.",
    )


def _subnets(
    material: Material, readings: Sequence[Readings], correlations: Correlations, title: str
) -> Section:
    import pandas as pd

    frames = []
    for number, one in enumerate(readings, 1):
        frames.append(pd.DataFrame({"supernet": number, **_keys(material), **scores(one)}))
    # what is not a number is ranked last
    first = {name: np.nan_to_num(score, nan=-np.inf) for name, score in scores(readings[0]).items()}
    of_first = correlations.scores[correlations.scores["supernet"] <= 1].set_index("score")["tau"]
    titles = {name: f"{name.partition(',')[0]}: tau {of_first[name]:.2f}" for name in first}
    return Section(
        "subnets",
        "Accuracy against rank by score",
        text.SUBNETS,
        pd.concat(frames, ignore_index=True),
        figure=scatter(first, material.truth, titles, label="test accuracy (%)", title=title),
    )


def _losses(material: Material, readings: Sequence[Readings], options: Genas) -> Section:
    import pandas as pd

    keys = pd.DataFrame(_keys(material))
    frames = []
    for number, one in enumerate(readings, 1):
        for probe in probes(options):
            if probe.name == LOSS:
                levels, losses = [0.0], one.numbers[LOSS]
            elif isinstance(probe.metric, Flatness):
                levels, losses = list(probe.metric.sigma), one.losses(probe.name)
            else:
                continue
            first = keys.iloc[: len(losses)]
            frames += [
                first.assign(supernet=number, probe=probe.name, sigma=level, loss=losses[:, place])
                for place, level in enumerate(levels)
            ]
    return Section("losses", "Every loss", text.LOSSES, pd.concat(frames, ignore_index=True))


def _keys(material: Material) -> dict[str, Any]:
    return {
        "index": material.indices,
        "architecture": [str(architecture) for architecture in material.architectures],
        "test_accuracy_pct": material.truth,
    }
