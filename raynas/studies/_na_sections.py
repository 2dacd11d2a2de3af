"""The report on neighborhoods: each experiment with its tables, its figure and what its numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import figures, markdown
from raynas.analysis.figures import STYLES, Style
from raynas.analysis.neighborhoods import BASE
from raynas.analysis.report import Report, Section
from raynas.studies import _na_paper as paper
from raynas.studies import _na_text as text
from raynas.studies._na_experiments import FEW_REPEATS, PARAMETERS, RANDOM, SAMPLE, Frames
from raynas.studies._na_signals import MEAN_OF_SEEDS, OTHER_SEEDS, Material
from raynas.studies._na_tables import READ_AT, SIGNAL, by_signal, signs, truths

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from raynas.benchmarks import Table
    from raynas.studies.na import NA

_ERROR = "final test error (%)"
_NAMES = (BASE, "mean", "median", "max", "variance", PARAMETERS)
_STYLES = {
    **dict(zip(_NAMES, STYLES, strict=False)),
    **{f"NA-RS {name}": style for name, style in zip(_NAMES, STYLES, strict=False)},
    RANDOM: Style("#000000", "*"),
}


def report(table: Table, material: Material, n_ball: int, frames: Frames, options: NA) -> Report:
    """The report.

    Args:
        table: What was studied.
        material: What was read of it.
        n_ball: Architectures in a neighborhood.
        frames: The experiments.
        options: Of the study.
    """
    comparable = (
        table.about.space == paper.SPACE and material.quantity == paper.VALID and options.as_published
    )
    several = len({signal.schedule for signal in material.signals}) > 1
    made = _Sections(
        material=material, options=options, n_ball=n_ball, several=several, comparable=comparable
    )
    sections = [
        made.flat_vs_sharp(frames.flat_vs_sharp),
        made.rank_correlation(frames.rank_correlation),
        made.neighbor_variance(frames.neighbor_variance),
        made.aggregators(frames.searches),
        made.n_nbr(frames.searches),
        made.against_random_search(frames.searches),
    ]
    if len(material.agreement):
        sections.append(made.seeds(material.agreement))
    beside = any("paper" in section.frame and section.frame["paper"].notna().any() for section in sections)
    return Report(
        f"Neighborhood-aware NAS on {table.path.stem}",
        _about(table, material, n_ball, options, text.PAPER_BESIDE if beside else text.NO_PAPER),
        sections,
    )


def _about(table: Table, material: Material, n_ball: int, options: NA, on_the_paper: str) -> str:
    read: dict[int, list[str]] = {}
    for signal in material.signals:
        epochs = read.setdefault(signal.schedule, [])
        if str(signal.epoch) not in epochs:
            epochs.append(str(signal.epoch))
    metric = f"`{options.signal_metric}`"
    return text.ABOUT.format(
        table=table.path.name,
        space=table.about.space,
        size=table.space.size,
        built_by=table.about.built_by,
        source=table.about.source,
        signal=f"100 less {metric}" if options.signal_metric.endswith("accuracy_pct") else metric,
        dataset=material.dataset,
        read="; ".join(f"{', '.join(epochs)} of {schedule}" for schedule, epochs in read.items()),
        truths=", ".join(material.truths),
        d=options.d,
        n_ball=n_ball,
        lam=options.lam,
        repeats=options.repeats,
        seed=options.seed,
        notes="\n".join(f"- {note}" for note in (*material.notes, on_the_paper)),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Sections:
    """Makes the sections.

    Attributes:
        material: What was read of the table.
        options: Of the study.
        n_ball: Architectures in a neighborhood.
        several: There are signals of several schedules.
        comparable: Space, signal and options are the paper's.
    """

    material: Material
    options: NA
    n_ball: int
    several: bool
    comparable: bool

    def flat_vs_sharp(self, frame: pd.DataFrame) -> Section:
        n_top = self.options.n_top
        frame = self._frame(frame, paper.flat_vs_sharp(), "group")
        shown = self._shown(frame, "std_members")
        errors = shown[shown["quantity"] != paper.VARIANCE]
        return Section(
            "flat_vs_sharp",
            "Flat against sharp minima (Tables 1a and 7)",
            text.FLAT_VS_SHARP.format(n_top=n_top, half=n_top // 2),
            frame,
            by_signal(shown, "group"),
            self._panels(
                errors, "group", "Flat and sharp minima, ± standard deviation of members", "error (%)"
            ),
            signs(self._of_truths(shown), ("flat", "sharp"), "group", "Final error of flat below sharp"),
        )

    def rank_correlation(self, frame: pd.DataFrame) -> Section:
        repeats, name = self.options.repeats, "criterion"
        frame = self._frame(frame, paper.rank_correlation(), name)
        shown = self._shown(frame, "std", repeats=repeats)
        of_all = [markdown.number(tau, digits=3) for tau in shown["of_all"]]
        whole = shown.assign(cell=of_all, paper=np.nan, quantity=shown["quantity"] + ", all")
        return Section(
            "rank_correlation",
            "Rank correlation of each criterion with the truth (Tables 1b and 8)",
            text.RANK_CORRELATION.format(repeats=repeats, few=FEW_REPEATS, n=SAMPLE),
            frame,
            [*by_signal(shown, name, more=whole), *self._few(frame, "std", name, "samples")],
            self._panels(shown, name, "Rank correlation with the final test error", "Kendall's tau"),
            signs(shown, (BASE, "mean"), name, "Tau of mean above base"),
        )

    def neighbor_variance(self, frame: pd.DataFrame) -> Section:
        n_top, name = self.options.n_top, "criterion"
        frame = self._frame(frame, paper.neighbor_variance(), name)
        shown = self._shown(frame, "std_members")
        errors = self._of_truths(shown)
        return Section(
            "neighbor_variance",
            "Neighborhoods of what each criterion ranks best (Table 9)",
            text.NEIGHBOR_VARIANCE.format(n_top=n_top),
            frame,
            by_signal(shown, name),
            self._panels(errors, name, f"The {n_top} best of the whole space by each criterion", _ERROR),
            signs(errors, ("mean", BASE), name, "Final error of the best by mean below base"),
        )

    def aggregators(self, frame: pd.DataFrame) -> Section:
        n_nbr = self.options.n_nbr[0]
        return self._search(
            frame[frame["n_nbr"] == n_nbr],
            "aggregators",
            f"NA-RS with each aggregator, n_nbr = {n_nbr} (Table 10)",
            text.AGGREGATORS.format(n_steps=self.options.n_steps, n_nbr=n_nbr),
            ("NA-RS median", "NA-RS mean"),
        )

    def n_nbr(self, frame: pd.DataFrame) -> Section:
        counts = self.options.n_nbr
        least, most = (f"NA-RS median, {of(counts)}" for of in (min, max))
        return self._search(
            frame[frame["row"].isin(["NA-RS mean", "NA-RS median", RANDOM])],
            "n_nbr",
            "NA-RS with more and fewer neighbors (Table 11)",
            text.N_NBR.format(all_n_nbr=" or ".join(map(str, counts)), n_ball=self.n_ball),
            (most, least),
            numbered=True,
        )

    def against_random_search(self, frame: pd.DataFrame) -> Section:
        rows = ["NA-RS mean", "NA-RS median", RANDOM]
        return self._search(
            frame[(frame["n_nbr"] == self.options.n_nbr[0]) & frame["row"].isin(rows)],
            "against_random_search",
            "NA-RS against random search at equal budget (Table 2)",
            text.AGAINST_RANDOM_SEARCH,
            ("NA-RS mean", RANDOM),
            more=[("**The truths over the whole space.**", truths(self.material.truths))],
        )

    def seeds(self, frame: pd.DataFrame) -> Section:
        taus = [markdown.number(tau, digits=3) for tau in frame["tau"]]
        noise = list(map(markdown.number, frame["noise"]))
        names = {"tau": "Kendall's tau", "noise": f"standard deviation ({self.material.unit})"}
        shown = self._fidelity(frame).assign(**dict(zip(names.values(), (taus, noise), strict=True)))
        long = frame.melt(["schedule", "epoch"], list(names), "quantity", "mean")
        long = long.assign(quantity=long["quantity"].map(names), row="between seeds", std=np.nan, signal="")
        return Section(
            "seeds",
            "How far seeds agree on the signal",
            text.SEEDS,
            frame,
            [("", shown[[READ_AT, *names.values()]])],
            self._panels(self._fidelity(long), "row", "Agreement of seeds on the signal", ""),
            f"Kendall's tau between seeds from {frame['tau'].min():.2f} to {frame['tau'].max():.2f}.",
        )

    def _search(
        self,
        frame: pd.DataFrame,
        name: str,
        title: str,
        said: str,
        sign: tuple[str, str],
        *,
        numbered: bool = False,
        more: Sequence[tuple[str, pd.DataFrame]] = (),
    ) -> Section:
        repeats, budget = self.options.repeats, ["nominal", "unique"]
        frame = self._frame(frame, paper.searches(), "search")
        if numbered:
            frame = frame.assign(search=frame["search"] + ", " + frame["n_nbr"].astype(str))
        shown = self._shown(frame, "std_repeats", repeats=repeats)
        return Section(
            name,
            title,
            f"{said}\n\n{text.SEARCHES.format(repeats=repeats, few=FEW_REPEATS)}",
            frame,
            [
                *by_signal(shown, "search", *budget),
                *self._few(frame, "std_repeats", "search", "searches", *budget),
                *more,
            ],
            self._panels(shown, "search", title, _ERROR),
            signs(shown, sign, "search", f"Final error of {sign[0]} below {sign[1]}"),
        )

    def _frame(self, frame: pd.DataFrame, printed: pd.DataFrame, row: str) -> pd.DataFrame:
        """The numbers with their units and the paper's; ``row`` is what their rows are called."""
        unit = self.material.unit
        units = {self.material.quantity: unit, paper.DEVIATION: unit, paper.VARIANCE: f"{unit} squared"}
        beside = paper.beside(frame, printed if self.comparable else printed.iloc[:0])
        known = beside["quantity"].map(units).fillna("" if "of_all" in frame else "percent")
        return beside.assign(unit=known).rename(columns={"row": row})

    def _shown(self, frame: pd.DataFrame, std: str, *, repeats: int | None = None) -> pd.DataFrame:
        """What people read: seeds together, the reading and the fidelity in words, a cell's text."""
        chosen = frame[~frame["reading"].str.startswith("seed ")]
        if repeats is not None:
            chosen = chosen[chosen["n_repeats"] == repeats]
        signal = chosen["reading"].where(
            chosen["truth_seeds"] != OTHER_SEEDS, chosen["reading"] + ", truth of the others"
        )
        cells = [markdown.number(*of) for of in zip(chosen["mean"], chosen[std], strict=True)]
        return self._fidelity(chosen.assign(signal=signal, std=chosen[std], cell=cells))

    def _few(
        self, frame: pd.DataFrame, std: str, row: str, of: str, *keys: str
    ) -> list[tuple[str, pd.DataFrame]]:
        """The table of the first few repeats, of the first signal; of the others they are in the frame."""
        if self.options.repeats <= FEW_REPEATS:
            return []
        shown = self._shown(frame[frame["reading"] == MEAN_OF_SEEDS], std, repeats=FEW_REPEATS)
        return by_signal(shown, row, *keys, suffix=f", {FEW_REPEATS} {of}")

    def _of_truths(self, shown: pd.DataFrame) -> pd.DataFrame:
        return shown[shown["quantity"].isin(list(self.material.truths))]

    def _fidelity(self, frame: pd.DataFrame) -> pd.DataFrame:
        words = frame["epoch"].astype(str)
        return frame.assign(
            **{READ_AT: words + " of " + frame["schedule"].astype(str) if self.several else words}
        )

    def _panels(self, shown: pd.DataFrame, series: str, title: str, unit: str) -> Figure:
        axis = figures.Axis(
            READ_AT, series, "quantity", SIGNAL, "epoch at which the signal is read", unit, "schedule"
        )
        styles = dict(_STYLES)
        for number, n_nbr in enumerate(self.options.n_nbr):
            for name, style in _STYLES.items():
                line = ("-", "--", ":", "-.")[number % 4]
                styles[f"{name}, {n_nbr}"] = Style(style.colour, style.marker, line)
        return figures.panels(shown, axis, title, styles=styles)
