"""The report on differentiable searches: accuracies, every search, trajectories, settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raynas.analysis import markdown
from raynas.analysis.report import Report, Section
from raynas.differentiable.method import ArchOptimizer
from raynas.studies import _differentiable_figure as figure
from raynas.studies import _differentiable_text as text
from raynas.studies._differentiable_frames import RANDOM, VALUE, Frames

if TYPE_CHECKING:
    import pandas as pd

    from raynas.studies._differentiable_presets import Preset
    from raynas.studies._differentiable_table import Truth
    from raynas.studies.differentiable import Differentiable

_HEADINGS = {
    VALUE: ("test accuracy (%)", 2),
    "minus_plain": ("minus DARTS", 2),
    "minus_partner": ("minus partner", 2),
    "beats": ("beats (%)", 1),
    "skips": ("skips", 1),
    "last_test_accuracy_pct": ("last cell (%)", 2),
    "last_skips": ("its skips", 1),
}


def report(presets: Sequence[Preset], frames: Frames, truth: Truth, options: Differentiable) -> Report:
    """The report.

    Args:
        presets: What was run, plain DARTS first.
        frames: All numbers.
        truth: What cells are worth.
        options: Of the study.
    """
    title = f"Differentiable searches on {options.images}, cells from {truth.table.path.stem}"
    return Report(
        title,
        _about(presets, frames, truth, options),
        [
            _accuracies(presets, frames.summary),
            Section(
                "trajectories",
                "How the cells came about",
                text.TRAJECTORIES,
                frames.epochs,
                figure=figure.draw(presets, frames.epochs, frames.searches, truth, title),
                finding=_collapse(presets[0], frames.epochs),
            ),
            _searches(frames.searches),
            _settings(presets),
        ],
    )


def _about(presets: Sequence[Preset], frames: Frames, truth: Truth, options: Differentiable) -> str:
    table, part = truth.table, truth.part
    failures = frames.searches[frames.searches["failure"] != ""]
    failed = [
        f"{preset}, seed {seed} ({what})"
        for preset, seed, what in zip(failures["preset"], failures["seed"], failures["failure"], strict=True)
    ]
    cut = text.NOT_CUT if options.max_batches is None else text.CUT.format(max_batches=options.max_batches)
    return text.ABOUT.format(
        images=options.images,
        table=table.path.name,
        space=table.about.space,
        size=table.space.size,
        built_by=table.about.built_by,
        source=table.about.source,
        plain=presets[0].name,
        dataset=part.dataset,
        schedule=part.schedule,
        n_seeds=f"{options.seeds} seed{'s' * (options.seeds > 1)}",
        seed=options.seed,
        last_seed=options.seed + options.seeds - 1,
        channels=options.channels,
        cells=f"{options.cells} cell{'s' * (options.cells > 1)}",
        epochs=options.epochs,
        batch_size=options.batch_size,
        cut=cut,
        alpha_lr=options.alpha_lr,
        default_lr=ArchOptimizer.lr,
        n_random=truth.random.size,
        failed="; ".join(failed) or "none",
    )


def _accuracies(presets: Sequence[Preset], summary: pd.DataFrame) -> Section:
    import pandas as pd

    shown = pd.DataFrame({"": summary["row"]})
    for name, (heading, digits) in _HEADINGS.items():
        of = zip(summary[name], summary[f"{name}_std"], strict=True)
        shown[heading] = [markdown.number(mean, std, digits=digits) for mean, std in of]
    shown["n"] = [markdown.number(n, digits=0) for n in summary["n"]]
    shown["broke off"] = [markdown.number(n, digits=0) for n in summary["n_failed"]]
    shown["CPU seconds"] = [markdown.number(seconds, digits=1) for seconds in summary["cpu_s"]]
    published = summary["paper_cifar10_test_pct"]
    shown["paper, CIFAR-10 test (%)"] = [markdown.number(value) for value in published]
    return Section(
        "accuracies",
        "What the derived cells are worth",
        text.ACCURACIES,
        summary,
        [("", shown)],
        finding=_finding(presets[0], summary),
    )


def _finding(plain: Preset, summary: pd.DataFrame) -> str:
    rows = {str(row["row"]): row for row in summary.to_dict("records")}
    ran = {name: row[VALUE] for name, row in rows.items() if row["kind"] == "preset" and row["n"]}
    if not ran:
        return "No search came to its end."
    shown = dict.fromkeys((max(ran, key=lambda name: ran[name]), plain.name, RANDOM))
    said = [
        f"{name} {markdown.number(rows[name][VALUE], rows[name][f'{VALUE}_std'])} %"
        for name in shown
        if rows[name]["n"]
    ]
    above = sum(value > rows[RANDOM][VALUE] for value in ran.values())
    return f"Test accuracy: {', '.join(said)}; {above} of {len(ran)} presets above random cells' mean."


def _collapse(plain: Preset, epochs: pd.DataFrame) -> str:
    means = epochs[epochs["preset"] == plain.name].groupby("epoch")[["skips", VALUE]].mean()
    skips, accuracies = means["skips"].tolist(), means[VALUE].tolist()  # by epoch, from 0
    most, last = skips.index(max(skips)), len(skips) - 1
    return (
        f"Plain DARTS: {skips[0]:.1f} skip connections a cell before the first epoch, at most "
        f"{skips[most]:.1f} (epoch {most}), {skips[last]:.1f} at the end (epoch {last}); test accuracy "
        f"{accuracies[0]:.2f}, {accuracies[most]:.2f} and {accuracies[last]:.2f} %."
    )


def _searches(searches: pd.DataFrame) -> Section:
    columns = {
        "preset": "preset",
        "seed": "seed",
        "architecture": "cell",
        "skips": "skips",
        VALUE: "test accuracy (%)",
        "answer_epoch": "of epoch",
        "ended": "ends after",
        "failure": "broke off",
    }
    shown = searches[list(columns)].rename(columns=columns)
    shown["cell"] = [f"`{cell}`" if isinstance(cell, str) else "" for cell in shown["cell"]]
    for name in ("skips", "of epoch", "ends after"):
        shown[name] = [markdown.number(value, digits=0) for value in shown[name]]
    shown["test accuracy (%)"] = [markdown.number(value) for value in shown["test accuracy (%)"]]
    return Section("searches", "Every search", text.SEARCHES, searches, [("", shown)])


def _settings(presets: Sequence[Preset]) -> Section:
    import pandas as pd

    rows = [
        {"preset": preset.name, "setting": key, "configuration": before, "here": after}
        for preset in presets
        for key, before, after in preset.changes
    ]
    frame = pd.DataFrame(rows, columns=["preset", "setting", "configuration", "here"])
    return Section(
        "settings", "Settings that differ from the configurations", text.SETTINGS, frame, [("", frame)]
    )
