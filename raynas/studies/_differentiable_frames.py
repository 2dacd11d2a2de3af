"""Tidy frames of the study of differentiable searches: by epoch, by search, by preset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.studies import _differentiable_paper as paper

if TYPE_CHECKING:
    import pandas as pd

    from raynas.studies._differentiable_presets import Preset
    from raynas.studies._differentiable_searches import Search
    from raynas.studies._differentiable_table import Truth

SKIP = "skip_connect"
VALUE = "derived_test_accuracy_pct"
RANDOM, BEST = "random cells", "best of the table"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_REPORTED = (
    "skip_share",
    "theta_entropy",
    "train_loss",
    "train_accuracy_pct",
    "valid_loss",
    "valid_accuracy_pct",
    "learning_rate",
    "seconds",
    "cpu_s",
)
_MEASURES = (VALUE, "last_test_accuracy_pct", "minus_plain", "minus_partner", "beats", "skips", "last_skips")
_COLUMNS = [
    "preset",
    "seed",
    "failure",
    "architecture",
    "last_architecture",
    "answer_epoch",
    "ended",
    "skips",
    "last_skips",
    VALUE,
    "last_test_accuracy_pct",
    "beats",
    "cpu_s",
]


@dataclass(frozen=True, eq=False)
class Frames:
    """All numbers.

    Attributes:
        epochs: A row a (preset, seed, epoch), epoch 0 before the first: the cell of greatest weights, what it
            is worth, and what the search reported.
        searches: A row a (preset, seed): the cell that it answers with, and the last epoch's.
        summary: A row a preset, then random cells and the best of the table: means, standard deviations.
    """

    epochs: pd.DataFrame
    searches: pd.DataFrame
    summary: pd.DataFrame


def collected(presets: Sequence[Preset], searches: Sequence[Search], truth: Truth) -> Frames:
    """The frames.

    Args:
        presets: What was run, in the order to be shown.
        searches: What came of it.
        truth: What cells are worth.
    """
    epochs = _epochs(presets, searches, truth)
    of_searches = _searches(presets, searches, truth)
    return Frames(epochs, of_searches, _summary(presets, of_searches, truth))


def n_skips(text: str) -> int:
    """Edges of a cell, in its space's notation, that are skip connections."""
    return text.count(SKIP)


def _epochs(presets: Sequence[Preset], searches: Sequence[Search], truth: Truth) -> pd.DataFrame:
    import pandas as pd

    lengths = {preset.name: preset.epochs for preset in presets}
    rows = [
        {
            "preset": search.preset,
            "seed": search.seed,
            "epoch": epoch,
            "tuning": epoch > lengths[search.preset],
            "architecture": text,
            "skips": n_skips(text),
            **{name: search.reports[epoch - 1][name] if epoch else np.nan for name in _REPORTED},
        }
        for search in searches
        for epoch, text in enumerate(search.trail)
    ]
    frame = pd.DataFrame(rows)
    indices = truth.indices(frame["architecture"].tolist())
    return frame.assign(
        **{"index": indices, "derived_valid_accuracy_pct": truth.valid[indices], VALUE: truth.test[indices]}
    )


def _searches(presets: Sequence[Preset], searches: Sequence[Search], truth: Truth) -> pd.DataFrame:
    """Those that broke off have no numbers; differences are between searches of the same seed."""
    import pandas as pd

    rows = []
    for search in searches:
        row: dict[str, object] = {"preset": search.preset, "seed": search.seed, "failure": search.failure}
        if not search.failure:
            texts = [search.trail[search.answer], search.trail[-1]]
            answer, last = truth.indices(texts)
            row |= {
                "architecture": texts[0],
                "last_architecture": texts[1],
                "answer_epoch": search.answer,
                "ended": search.ended,
                "skips": n_skips(texts[0]),
                "last_skips": n_skips(texts[1]),
                VALUE: truth.test[answer],
                "last_test_accuracy_pct": truth.test[last],
                "beats": 100 * truth.beaten(float(truth.test[answer])),
                "cpu_s": sum(report["cpu_s"] for report in search.reports),
            }
        rows.append(row)
    frame = pd.DataFrame(rows).reindex(columns=_COLUMNS)
    names, seeds, values = (frame[name].tolist() for name in ("preset", "seed", VALUE))
    known = dict(zip(zip(names, seeds, strict=True), values, strict=True))
    plain = next(preset.name for preset in presets if preset.plain)
    partners = {preset.name: preset.partner for preset in presets}
    others: dict[str, dict[str, str | None]] = {
        "minus_plain": dict.fromkeys(partners, plain),
        "minus_partner": partners,
    }
    for column, of in others.items():
        frame[column] = [
            value - known.get((of[name], seed), np.nan)
            for name, seed, value in zip(names, seeds, values, strict=True)
        ]
    return frame


def _summary(presets: Sequence[Preset], searches: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, object]] = []
    for preset in presets:
        part = searches[searches["preset"] == preset.name]
        row: dict[str, object] = {
            "row": preset.name,
            "kind": "preset",
            "partner": preset.partner,
            "n": int(part[VALUE].notna().sum()),
            "n_failed": int((part["failure"] != "").sum()),
            "cpu_s": part["cpu_s"].mean(),
            "paper_cifar10_test_pct": paper.CIFAR10_TEST_PCT.get(preset.name, np.nan),
        }
        for name in _MEASURES:
            row[name], row[f"{name}_std"] = part[name].mean(), part[name].std(ddof=0)
            row[f"{name}_n"] = int(part[name].notna().sum())
        rows.append(row)
    return pd.DataFrame([*rows, *_references(truth)])


def _references(truth: Truth) -> list[dict[str, object]]:
    """What presets are held against: random cells, and the best there is."""
    random = truth.random
    mean: dict[str, object] = {
        "row": RANDOM,
        "kind": "random",
        "n": random.size,
        VALUE: random.mean(),
        f"{VALUE}_std": random.std(),
        "beats": 100 * float(np.mean([truth.beaten(value) for value in random])),
    }
    quantiles: list[dict[str, object]] = [
        {
            "row": f"{RANDOM}, {100 * share:.0f} % quantile",
            "kind": "random",
            VALUE: value,
            "beats": 100 * truth.beaten(float(value)),
        }
        for share, value in zip(QUANTILES, np.quantile(random, QUANTILES), strict=True)
    ]
    greatest = float(truth.test.max())
    best: dict[str, object] = {
        "row": BEST,
        "kind": "table",
        VALUE: greatest,
        "beats": 100 * truth.beaten(greatest),
        "paper_cifar10_test_pct": paper.OPTIMUM_PCT,
    }
    return [mean, *quantiles, best]
