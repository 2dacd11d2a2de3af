"""Figures of the paper (Wang et al., 'Neighborhood-Aware Neural Architecture Search', BMVC 2021).

All are of NAS-Bench-201: the signal is the validation error of CIFAR-10 at an epoch of the 200-epoch
schedule, the truths are final test errors. Tables 8 to 11 and 2 are of epoch 90. Where the paper prints no
standard deviation for a number, there is none here (those of Table 8 are all from 0.02 to 0.05).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SPACE = "nas_bench_201"
SCHEDULE = 200
EPOCHS = (30, 60, 90, 120)
TRUTHS = ("cifar10", "cifar100", "imagenet16_120")
VALID = "validation error"
VARIANCE = "neighbor variance"
DEVIATION = "neighbor std"

# (epoch, row): (quantity, mean[, std]) ...
_FLAT_VS_SHARP = {
    (30, "flat"): (18.39, 6.33, 29.15, 55.52),
    (30, "sharp"): (18.45, 6.67, 30.10, 56.18),
    (60, "flat"): (16.15, 6.28, 29.15, 55.51),
    (60, "sharp"): (16.43, 6.91, 30.56, 57.31),
    (90, "flat"): (14.55, 6.23, 28.90, 55.17),
    (90, "sharp"): (14.57, 6.66, 30.00, 56.41),
    (120, "flat"): (12.67, 6.13, 28.59, 55.11),
    (120, "sharp"): (12.81, 6.33, 29.28, 55.53),
}
_TAU = {
    "base": (0.66, 0.66, 0.64),
    "mean": (0.76, 0.77, 0.74),
    "median": (0.72, 0.72, 0.69),
    "max": (0.53, 0.54, 0.56),
    "variance": (0.72, 0.73, 0.71),
}
_VARIANCE = {
    "base": (5.58, 6.45, 29.45, 55.79),
    "mean": (2.71, 6.09, 28.32, 54.75),
    "median": (4.05, 6.21, 28.74, 55.08),
    "max": (1.83, 6.66, 29.82, 56.31),
    "variance": (2.47, 6.35, 29.06, 55.52),
}
_SEARCH = {
    ("NA-RS mean", 10): ((6.39, 28.68, 55.02), (0.71, 1.75, 1.71)),
    ("NA-RS median", 10): ((6.20, 28.33, 54.72), (0.35, 1.22, 0.96)),
    ("NA-RS max", 10): ((6.73, 29.70, 56.96), (0.71, 2.09, 2.09)),
    ("NA-RS variance", 10): ((6.65, 29.06, 55.48), (0.97, 1.97, 2.41)),
    ("NA-RS mean", 25): ((6.24, 28.24, 54.74), (0.39, 1.25, 1.73)),
    ("NA-RS median", 25): ((6.18, 28.20, 54.40), (0.38, 1.27, 0.98)),
    ("RS", 10): ((6.39, 29.81, 56.30), (0.32, 0.44, 1.08)),
}
_EPOCH = 90


def flat_vs_sharp() -> pd.DataFrame:
    """Tables 1a and 7."""
    return _frame(
        [
            (epoch, group, quantity, mean)
            for (epoch, group), means in _FLAT_VS_SHARP.items()
            for quantity, mean in zip((VALID, *TRUTHS), means, strict=True)
        ],
        "row",
    )


def rank_correlation() -> pd.DataFrame:
    """Tables 1b and 8."""
    return _frame(
        [
            (_EPOCH, criterion, truth, tau)
            for criterion, taus in _TAU.items()
            for truth, tau in zip(TRUTHS, taus, strict=True)
        ],
        "row",
    )


def neighbor_variance() -> pd.DataFrame:
    """Table 9. Its neighbour variance may be a standard deviation, so it stands beside both."""
    return _frame(
        [
            (_EPOCH, criterion, quantity, mean)
            for criterion, (spread, *errors) in _VARIANCE.items()
            for quantity, mean in zip((VARIANCE, DEVIATION, *TRUTHS), (spread, spread, *errors), strict=True)
        ],
        "row",
    )


def searches() -> pd.DataFrame:
    """Tables 10, 11 and 2; random search with the budget of n_nbr = 10."""
    import pandas as pd

    rows = [
        (SCHEDULE, _EPOCH, name, n_nbr, truth, mean, std)
        for (name, n_nbr), (means, stds) in _SEARCH.items()
        for truth, mean, std in zip(TRUTHS, means, stds, strict=True)
    ]
    names = ["schedule", "epoch", "row", "n_nbr", "quantity", "paper", "paper_std"]
    return pd.DataFrame(rows, columns=names)


def _frame(rows: list[tuple[int, str, str, float]], label: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=["epoch", label, "quantity", "paper"]).assign(schedule=SCHEDULE)


def beside(frame: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """A frame with the paper's figures in ``paper`` and ``paper_std``, NaN where it has none of that kind.

    Args:
        frame: Tidy, keyed by schedule, epoch, row, quantity and whatever else the paper's is.
        paper: One of this file's.
    """
    keys = [name for name in paper.columns if not name.startswith("paper")]
    merged = frame.merge(paper, on=keys, how="left")
    return merged if "paper_std" in merged else merged.assign(paper_std=float("nan"))
