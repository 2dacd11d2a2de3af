"""Tables of the report on GeNAS, as people read them: means over supernets, the paper's numbers beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raynas.analysis import markdown
from raynas.studies import _genas_paper as paper
from raynas.studies._genas_correlations import ALPHA_TABLE, NOISE_TABLE, NOISES, SIGMA_TABLE, summary
from raynas.studies._genas_probes import ANGLE, SIGMAS, written
from raynas.studies._genas_scores import COMBINATIONS, FLATNESS

if TYPE_CHECKING:
    import pandas as pd

TAU, TOP, SHARE = "tau", "top_test_accuracy_pct", "share_pct"
_TAU, _TOP = "tau", "best ten (%)"
_CIFAR10, _CIFAR100, _IMAGENET16 = "paper, CIFAR-10", "paper, CIFAR-100", "paper, ImageNet16-120"


def with_published(scores: pd.DataFrame) -> pd.DataFrame:
    """The summary of scores with the paper's numbers, NaN where there are none."""
    is_flatness = scores["score"] == FLATNESS
    beside = dict(zip(("paper_cifar10", "paper_imagenet16_120"), paper.FLATNESS, strict=True))
    return scores.assign(**{name: is_flatness.map({True: tau}) for name, tau in beside.items()})


def scores(published: pd.DataFrame) -> pd.DataFrame:
    """A row a score."""
    return published[["score"]].assign(
        **{
            _TAU: _cells(published, TAU, 3),
            "minus the loss's": _cells(published, "minus_loss", 3),
            _TOP: _cells(published, TOP, 2),
            "dropped": _counts(published, "dropped"),
            _CIFAR10: _numbers(published["paper_cifar10"], 4),
            _IMAGENET16: _numbers(published["paper_imagenet16_120"], 4),
        }
    )


def pairs(every: pd.DataFrame) -> pd.DataFrame:
    """A row a pair of scores."""
    means = summary(every, ["one", "other"])
    shown = means[["one", "other"]].assign(**{_TAU: _cells(means, TAU, 3)})
    is_papers = (means["one"] == ANGLE) & (means["other"] == FLATNESS)
    columns = (_CIFAR10, _CIFAR100, _IMAGENET16)
    for name, tau in zip(columns, paper.ANGLE_WITH_FLATNESS, strict=True):
        shown[name] = [f"{tau:.4f}" if here else "" for here in is_papers]
    return shown


def sigma(every: pd.DataFrame) -> pd.DataFrame:
    """A row a set of levels, a column a mode and number of architectures, more before fewer."""
    means = _of_table(every, SIGMA_TABLE).sort_values("asked", ascending=False, kind="stable")
    titles = [f"{mode}, n {asked:,}" for mode, asked in zip(means["mode"], means["asked"], strict=True)]
    wide = markdown.spread_out(means.assign(title=titles), ["row"], "title", _cells(means, TAU, 3))
    published = {written(levels): paper.SIGMA_TAUS[levels] for levels in SIGMAS}
    for place, name in enumerate((_CIFAR10, _IMAGENET16)):
        wide[name] = [f"{published[row][place]:.4f}" for row in wide["row"]]
    return wide.rename(columns={"row": "sigma"})


def alpha(every: pd.DataFrame) -> pd.DataFrame:
    """A row an alpha."""
    means = _of_table(every, ALPHA_TABLE)
    published = {f"{value:g}": tau for value, tau in paper.ALPHA_TAUS.items()}
    return _settings(means, "alpha").assign(**{_CIFAR10: [f"{published[row]:.4f}" for row in means["row"]]})


def noise(every: pd.DataFrame) -> pd.DataFrame:
    """A row a kind of noise."""
    means = _of_table(every, NOISE_TABLE)
    published = {NOISES[kind]: tau for kind, tau in paper.NOISE_TAUS.items()}
    beside = [f"{published[row]:.4f}" if row in published else "" for row in means["row"]]
    return _settings(means, "").assign(**{_CIFAR10: beside})


def combinations(every: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """A captioned table a combination, a row a gamma."""
    made = []
    for number, one in enumerate(COMBINATIONS, 8):
        part = every[every["combination"] == one.name].drop(columns="combination")
        if part.empty:
            continue
        means = summary(part, ["gamma"])
        beside = [one.published[gamma] for gamma in means["gamma"]]
        shown = means[["gamma"]].assign(
            **{
                "gamma": [f"{gamma:g}" for gamma in means["gamma"]],
                "share (%)": _cells(means, SHARE, 0),
                _TAU: _cells(means, TAU, 3),
                _TOP: _cells(means, TOP, 2),
                "paper, share (%)": [f"{share:g}" for share, _ in beside],
                "paper, ImageNet top-1 (%)": [f"{accuracy:.2f}" for _, accuracy in beside],
            }
        )
        made.append((f"**{one.name.capitalize()}** (the paper's Table {number}).", shown))
    return made


def landscape(frame: pd.DataFrame, levels: tuple[float, ...]) -> pd.DataFrame:
    """A row a group: the loss at some levels of noise."""
    import pandas as pd

    rows = []
    for group, part in frame.groupby("group", sort=False):
        row = {"group": group, "test accuracy (%)": f"{part['test_accuracy_pct'].mean():.2f}"}
        for level in levels:
            losses = part.loc[part["sigma"] == level, "loss"]
            row[f"loss at {level:g}"] = markdown.number(losses.mean(), losses.std(ddof=0), digits=3)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_table(every: pd.DataFrame, table: str) -> pd.DataFrame:
    return summary(every[every["table"] == table].drop(columns="table"), ["row", "mode", "asked"])


def _settings(means: pd.DataFrame, heading: str) -> pd.DataFrame:
    return (
        means[["row"]]
        .assign(
            **{
                "n": _counts(means, "asked"),
                _TAU: _cells(means, TAU, 3),
                _TOP: _cells(means, TOP, 2),
            }
        )
        .rename(columns={"row": heading})
    )


def _cells(means: pd.DataFrame, name: str, digits: int) -> list[str]:
    return [
        markdown.number(mean, std, digits=digits)
        for mean, std in zip(means[name], means[f"{name}_std"], strict=True)
    ]


def _numbers(values: pd.Series[float], digits: int) -> list[str]:
    return [markdown.number(value, digits=digits) for value in values]


def _counts(means: pd.DataFrame, name: str) -> list[str]:
    return [f"{int(count):,}" for count in means[name]]
