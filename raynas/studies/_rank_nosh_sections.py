"""The report on RANK-NOSH: curves, comparison, the claim, ablations, and what each search spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import markdown
from raynas.analysis.report import Report, Section
from raynas.studies import _rank_nosh_claim as claim
from raynas.studies import _rank_nosh_figure as figure
from raynas.studies import _rank_nosh_paper as paper
from raynas.studies import _rank_nosh_summaries as summaries
from raynas.studies import _rank_nosh_text as text
from raynas.studies._baselines_experiments import EPOCHS, VALUE
from raynas.studies._baselines_sections import about, p_value
from raynas.studies._rank_nosh_experiments import Frames, mean_curves
from raynas.studies._rank_nosh_methods import LEVEL_0, PLAIN, RANK_NOSH, RATIO, listed, papers_levels

if TYPE_CHECKING:
    import pandas as pd

    from raynas.studies._baselines_table import Material
    from raynas.studies._rank_nosh_plan import Plan
    from raynas.studies.rank_nosh import RankNosh


def report(material: Material, plan: Plan, frames: Frames, options: RankNosh) -> Report:
    """The report.

    Args:
        material: What was searched.
        plan: What was run on it.
        frames: All numbers.
        options: Of the study.
    """
    return _Writer(material, plan, frames, options).report()


class _Writer:
    def __init__(self, material: Material, plan: Plan, frames: Frames, options: RankNosh) -> None:
        self.material, self.plan, self.frames, self.options = material, plan, frames, options
        self.labels = {method.name: method.label for method in plan.methods}
        self.all_labels = self.labels | {
            one.name: one.label for variants in plan.variants.values() for one in variants
        }
        of_main = frames.searches["method"] == RANK_NOSH
        self.cost = float(frames.searches.loc[of_main, "charged"].max())
        self.budget = options.budget * material.last
        self.optimum = float(material.truth.max())
        self.title = f"RANK-NOSH against others on {material.table.path.stem}"

    def report(self) -> Report:
        needed = claim.needed(self.frames, list(self.labels))
        ratios = claim.summary(needed, self.frames, self.options)
        sections = [self._curves(), self._comparison(), self._claim(needed, ratios), self._needed(needed)]
        if any(self.plan.variants.values()):
            sections.append(self._ablations())
        return Report(self.title, self._about(), [*sections, self._searches()])

    def _about(self) -> str:
        return about(
            text.ABOUT,
            self.material,
            self.options.searched,
            methods=[f"- **{method.label}**: {method.settings}." for method in self.plan.methods]
            + [f"- **{label}** is left out: {reason}." for label, reason in self.plan.left_out.items()],
            ablation_repeats=self.options.ablation_repeats,
            ends="ends before, with its pool" if self.cost < self.budget else "is cut off by it",
        )

    def _curves(self) -> Section:
        means = mean_curves(self.frames.answers, list(self.labels), self.budget, self.options.repeats)
        return Section(
            "curves",
            "What each search would answer, against epochs trained",
            text.CURVES.format(repeats=self.options.repeats, value=VALUE),
            self.frames.answers,
            figure=figure.answers(means, self.labels, optimum=self.optimum, cost=self.cost, title=self.title),
        )

    def _comparison(self) -> Section:
        frame = summaries.comparison(
            self.frames,
            list(self.labels),
            cost=self.cost,
            budget=self.budget,
            optimum=self.optimum,
            repeats=self.options.repeats,
        )
        cells = list(map(markdown.number, frame["mean"], frame["std"]))
        shown = frame.assign(
            method=frame["method"].map(self.labels), at=[f"{cost:,.0f} epochs" for cost in frame["cost"]]
        )
        wide = markdown.spread_out(shown, ["method"], "at", cells)
        whole, equal = (frame[frame["cost"] == cost] for cost in (self.budget, self.cost))
        return Section(
            "comparison",
            "Test accuracy after equal epochs",
            text.COMPARISON.format(repeats=self.options.repeats, cost=int(self.cost)),
            frame,
            [
                (
                    "",
                    wide.assign(
                        regret=list(map(markdown.number, whole["regret"])),
                        p=list(map(p_value, equal["p_rank_nosh_above"])),
                    ),
                )
            ],
            finding=_best(equal, self.labels, self.cost),
        )

    def _claim(self, needed: pd.DataFrame, ratios: pd.DataFrame) -> Section:
        import pandas as pd

        after = ratios[ratios["leader"] == RANK_NOSH]
        before = ratios[ratios["leader"] != RANK_NOSH]
        names = ("space", "dataset", "RANK-NOSH found", "its epochs", "epochs of the other", "ratio")
        rows = [(*row, f"{row[-1] / row[-2]:.1f}") for row in paper.PUBLISHED]
        published = pd.DataFrame(rows, columns=list(names))
        return Section(
            "claim",
            "Epochs to equal quality: five times less?",
            text.CLAIM.format(repeats=self.options.repeats, resamples=claim.RESAMPLES, claim=paper.CLAIM),
            ratios,
            [
                ("**To RANK-NOSH's final quality**, every method:", self._ratios(after, "chaser")),
                ("**RANK-NOSH to the final quality** of every method:", self._ratios(before, "leader")),
                (text.PUBLISHED, published.astype(str)),
            ],
            figure.reached(
                needed, self.labels, cost=self.cost, times=paper.CLAIM, title="RANK-NOSH's final quality"
            ),
            self._found(after),
        )

    def _ratios(self, ratios: pd.DataFrame, who: str) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for row in ratios.to_dict("records"):
            bound = row["until"] / row["spent"]
            said = {
                name: f"{row[name]:.2f}" if np.isfinite(row[name]) else f"> {bound:.2f}"
                for name in ("q25", "q50", "q75", "first_q50", "mean_ratio", "low", "high")
            }
            rows.append(
                {
                    "method": self.labels[row[who]],
                    "leader's epochs": f"{row['spent']:,.0f}",
                    "never": f"{row['n_never']} of {row['n_repeats']}",
                    "median ratio": said["q50"],
                    "quartiles": f"{said['q25']} to {said['q75']}",
                    "first": said["first_q50"],
                    "mean curves": said["mean_ratio"],
                    "90 %": f"[{said['low']}, {said['high']}]",
                }
            )
        return pd.DataFrame(rows)

    def _found(self, after: pd.DataFrame) -> str:
        row = self._ratios(after[after["chaser"] == PLAIN], "chaser").iloc[0]
        return (
            f"The predictor without pausing needs {row['mean curves']} times the epochs of RANK-NOSH for the "
            f"same mean quality, {row['90 %']} by resamples of the repeats; the median over repeats is "
            f"{row['median ratio']}, and in {row['never']} it never gets there. The paper says "
            f"{paper.CLAIM:g}."
        )

    def _needed(self, needed: pd.DataFrame) -> Section:
        import pandas as pd

        columns: dict[str, list[str]] = {}
        for leader, chaser in ((RANK_NOSH, PLAIN), (PLAIN, RANK_NOSH)):
            part = needed[(needed["leader"] == leader) & (needed["chaser"] == chaser)]
            columns["repeat"] = list(map(str, part["repeat"]))
            columns[f"final, {self.labels[leader]}"] = list(map(markdown.number, part["target"]))
            columns[f"epochs to it, {self.labels[chaser]}"] = [
                f"{epochs:,.0f}" if np.isfinite(epochs) else f"> {until:,.0f}"
                for epochs, until in zip(part["epochs"], part["until"], strict=True)
            ]
        return Section(
            "needed",
            "Epochs to equal quality, repeat by repeat",
            text.NEEDED,
            needed,
            [("", pd.DataFrame(columns))],
        )

    def _ablations(self) -> Section:
        repeats = self.options.ablation_repeats
        rows = {
            name: [RANK_NOSH, *(one.name for one in variants), *([PLAIN] if name == RATIO else [])]
            for name, variants in self.plan.variants.items()
            if variants
        }
        frame = summaries.ablations(self.frames, rows, cost=self.cost, repeats=repeats)
        panels = {
            name: mean_curves(self.frames.answers, methods, self.budget, repeats)
            for name, methods in rows.items()
        }
        return Section(
            "ablations",
            "What each part of RANK-NOSH does",
            text.ABLATIONS.format(repeats=repeats, cost=int(self.cost)),
            frame,
            [
                (self._caption(str(name)), self._ablation(part))
                for name, part in frame.groupby("ablation", sort=False)
            ],
            figure.ablations(
                panels,
                self.all_labels,
                optimum=self.optimum,
                cost=self.cost,
                title="RANK-NOSH with one thing changed",
            ),
            self._differences(frame),
        )

    def _differences(self, frame: pd.DataFrame) -> str:
        main = frame.loc[frame["method"] == RANK_NOSH, "mean"].iloc[0]
        variants = frame[~frame["method"].isin([RANK_NOSH, PLAIN])]
        said = [
            f"{self.all_labels[name]} {mean - main:+.2f}"
            for name, mean in zip(variants["method"], variants["mean"], strict=True)
        ]
        return f"Final accuracy less RANK-NOSH's with the same seeds: {', '.join(said)}."

    def _caption(self, ablation: str) -> str:
        from raynas.lookup import name_of
        from raynas.studies._proxies_table import Skeleton

        said = {"paper": listed(papers_levels(self.material.last))}
        if ablation == LEVEL_0:
            level0 = self.plan.variants[LEVEL_0][0].searcher.level0  # type: ignore[attr-defined]
            said["networks"] = str(Skeleton(level0.channels, level0.cells, level0.stages))
            images = name_of("raynas.data.dataset", level0.dataset)
            said["images"] = f"{level0.batch_size} images of {images}"
        return text.OF_ABLATION[ablation].format(**said)

    def _ablation(self, part: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(
            {
                "variant": part["method"].map(self.all_labels),
                "epochs": [f"{epochs:,.0f}" for epochs in part[EPOCHS]],
                "at the end": list(map(markdown.number, part["mean"], part["std"])),
                f"after {self.cost:,.0f} epochs": list(
                    map(markdown.number, part["mean_at_cost"], part["std_at_cost"])
                ),
                "p": list(map(p_value, part["p_rank_nosh_above"])),
            }
        )

    def _searches(self) -> Section:
        searches = self.frames.searches
        means = searches.groupby("method", sort=False)[["nominal", "unique", "to_the_end", EPOCHS]].mean()
        shown = means.map("{:,.1f}".format).reset_index()
        shown["method"] = shown["method"].map(self.all_labels)
        names = {"to_the_end": "to the end", EPOCHS: "epochs trained"}
        return Section(
            "searches", "What each search spent", text.SEARCHES, searches, [("", shown.rename(columns=names))]
        )


def _best(equal: pd.DataFrame, labels: dict[str, str], cost: float) -> str:
    """RANK-NOSH's mean, its predictor's, and the best of the others, after equal epochs."""
    rows = {row["method"]: row for row in equal.to_dict("records") if np.isfinite(row["mean"])}
    others = [name for name in rows if name not in (RANK_NOSH, PLAIN)]
    best = [max(others, key=lambda name: rows[name]["mean"])] if others else []
    said = [
        f"{labels[name]} {markdown.number(rows[name]['mean'], rows[name]['std'])} %"
        for name in [RANK_NOSH, PLAIN, *best]
        if name in rows
    ]
    return f"After {cost:,.0f} epochs: {', '.join(said)}."
