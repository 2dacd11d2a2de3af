"""The experiments on neighborhoods (Wang et al., BMVC 2021), each a tidy frame over all signals.

Every frame is keyed by schedule, epoch, reading, truth_seeds (whose mean the truths are), row and quantity.
Draws are made once and shared by all signals and aggregators, so that differences between these are not luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.analysis import random_search, rank_correlation, selections
from raynas.analysis.neighborhoods import Aggregators, Floats, Indices, criteria, neighbor_variance
from raynas.seeding import generator
from raynas.studies._na_paper import DEVIATION, VARIANCE
from raynas.studies._na_signals import ONE_SEED, Material, Signal

if TYPE_CHECKING:
    import pandas as pd

    from raynas.studies import Progress
    from raynas.studies.na import NA

PARAMETERS = "parameters"
RANDOM = "RS"
FEW_REPEATS = 10
_FIRST = ["schedule", "epoch", "reading", "truth_seeds", "row", "quantity", "mean"]
SAMPLE = 100  # architectures of one tau in Table 8


@dataclass(frozen=True, eq=False)
class Frames:
    """All numbers: each is described where it is made."""

    flat_vs_sharp: pd.DataFrame
    rank_correlation: pd.DataFrame
    neighbor_variance: pd.DataFrame
    searches: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Seen:
    """A signal with what neighborhoods make of it.

    Attributes:
        signal: The signal.
        scores: ``(size,)`` by criterion, parameters included where they are known.
        variance: ``(size,)`` over each neighborhood.
    """

    signal: Signal
    scores: dict[str, Floats]
    variance: Floats


def run(
    material: Material, members: Indices, aggregators: Aggregators, options: NA, progress: Progress
) -> Frames:
    """Runs all experiments.

    Args:
        material: What was read from the table.
        members: ``(size, n_ball)`` neighborhoods.
        aggregators: By name.
        options: The study.
        progress: Told of each signal.
    """
    size = members.shape[0]
    rng = generator(options.seed, "study", "na", "tau")
    sample = min(SAMPLE, size)
    samples = rank_correlation.samples(rng, size, n=sample, repeats=options.repeats)
    draws = {n_nbr: _draw(members, n_nbr, options) for n_nbr in options.n_nbr}
    random_draws = {
        n_nbr: random_search.draw(
            generator(options.seed, "study", "na", "random", n_nbr),
            members,
            repeats=options.repeats,
            n_steps=options.n_steps * n_nbr,
            n_nbr=1,
        )
        for n_nbr in options.n_nbr
    }
    made: dict[str, list[pd.DataFrame]] = {name: [] for name in Frames.__dataclass_fields__}
    for number, signal in enumerate(material.signals, start=1):
        where = f"epoch {signal.epoch} of {signal.schedule}, {signal.reading}"
        progress(f"{number} of {len(material.signals)}: {where}")
        scores = criteria(signal.costs, members, aggregators)
        if material.parameters is not None:
            scores[PARAMETERS] = -material.parameters
        seen = _Seen(signal, scores, neighbor_variance(signal.costs, members))
        made["flat_vs_sharp"] += _judged(signal, _flat_vs_sharp(seen, material.quantity, options))
        made["rank_correlation"] += _taus(seen, samples)
        made["neighbor_variance"] += _judged(signal, _neighbor_variance(seen, options))
        made["searches"] += _judged(signal, _searches(seen, draws, random_draws, aggregators))
    return Frames(**{name: _with_one_seed(frames) for name, frames in made.items()})


def _draw(members: Indices, n_nbr: int, options: NA) -> random_search.Draws:
    rng = generator(options.seed, "study", "na", "neighborhoods")
    return random_search.draw(rng, members, repeats=options.repeats, n_steps=options.n_steps, n_nbr=n_nbr)


Judge = Callable[[dict[str, Floats]], "Iterator[pd.DataFrame]"]
"""Makes frames of selections that are made once, for each set of truths."""


def _judged(signal: Signal, judge: Judge) -> list[pd.DataFrame]:
    return [
        _keyed(signal, seeds, frame) for seeds, truths in signal.truths.items() for frame in judge(truths)
    ]


def _keyed(signal: Signal, seeds: str, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(
        schedule=signal.schedule, epoch=signal.epoch, reading=signal.reading, truth_seeds=seeds
    )


def _flat_vs_sharp(seen: _Seen, quantity: str, options: NA) -> Judge:
    """Tables 1a and 7: of the n_top least costs, the flatter half of the neighborhoods and the sharper."""
    rng = generator(options.seed, "study", "na", "ties")
    top = selections.best(rng, seen.signal.costs, options.n_top, options.repeats)
    flat, sharp = selections.halves(top, seen.variance)

    def judge(truths: dict[str, Floats]) -> Iterator[pd.DataFrame]:
        quantities = {quantity: seen.signal.costs, **truths, VARIANCE: seen.variance}
        for name, group in (("flat", flat), ("sharp", sharp)):
            yield _rowed(selections.judge(group, quantities), row=name)

    return judge


def _neighbor_variance(seen: _Seen, options: NA) -> Judge:
    """Table 9: the n_top best of the whole space by each criterion, their neighborhoods and final errors."""
    rng = generator(options.seed, "study", "na", "ties")
    chosen = {
        name: selections.best(rng, scores, options.n_top, options.repeats)
        for name, scores in seen.scores.items()
    }

    def judge(truths: dict[str, Floats]) -> Iterator[pd.DataFrame]:
        quantities = {VARIANCE: seen.variance, DEVIATION: np.sqrt(seen.variance), **truths}
        for name, selection in chosen.items():
            yield _rowed(selections.judge(selection, quantities), row=name)

    return judge


def _taus(seen: _Seen, samples: np.ndarray) -> list[pd.DataFrame]:
    """Tables 1b and 8: tau-b with each truth, over samples of architectures and over all of them."""
    import pandas as pd

    frames = []
    xs = np.stack(list(seen.scores.values()))
    for seeds, truths in seen.signal.truths.items():
        taus = rank_correlation.sampled_tau(xs, np.stack(list(truths.values())), samples)
        rows = [
            {
                "row": criterion,
                "quantity": truth,
                "mean": taus[:repeats, i, j].mean(),
                "std": taus[:repeats, i, j].std(),
                "of_all": rank_correlation.kendall_tau(seen.scores[criterion], values),
                "n_repeats": repeats,
            }
            for i, criterion in enumerate(seen.scores)
            for j, (truth, values) in enumerate(truths.items())
            for repeats in _repeats(len(samples))
        ]
        frames.append(_keyed(seen.signal, seeds, pd.DataFrame(rows)))
    return frames


def _searches(
    seen: _Seen,
    draws: dict[int, random_search.Draws],
    random_draws: dict[int, random_search.Draws],
    aggregators: Aggregators,
) -> Judge:
    """Tables 10, 11 and 2: the final error of what NA-RS returns, and random search at its nominal budget."""
    costs = seen.signal.costs
    found: dict[tuple[str, int], tuple[Indices, random_search.Draws]] = {}
    for n_nbr, some in draws.items():
        for name, indices in random_search.found(costs, some, aggregators).items():
            found[f"NA-RS {name}", n_nbr] = indices, some
    for n_nbr, some in random_draws.items():
        found[RANDOM, n_nbr] = random_search.best_drawn(costs, some.references), some

    def judge(truths: dict[str, Floats]) -> Iterator[pd.DataFrame]:
        for (name, n_nbr), (indices, some) in found.items():
            for repeats in _repeats(len(indices)):
                judged = selections.judge(indices[:repeats, np.newaxis], truths)
                unique = some.unique[:repeats].mean()
                judged = judged.assign(n_nbr=n_nbr, nominal=some.nominal, unique=unique)
                yield _rowed(judged, row=name)

    return judge


def _rowed(frame: pd.DataFrame, *, row: str) -> pd.DataFrame:
    return frame.assign(row=row)


def _repeats(n: int) -> list[int]:
    """All repeats, and the first few, since the paper does not say how many it made."""
    return [n, FEW_REPEATS] if n > FEW_REPEATS else [n]


def _with_one_seed(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The frames as one, with rows of the reading ``one seed`` for the seeds taken together.

    Their mean is the mean of the seeds' means. A standard deviation over repeats is that of all the seeds'
    repeats in one; over members, the root of the mean variance.
    """
    import pandas as pd

    frame = pd.concat(frames, ignore_index=True).assign(n_signals=1)
    frame = frame[_FIRST + [name for name in frame.columns if name not in _FIRST]]
    of_seeds = frame[frame["reading"].str.startswith("seed ")].copy()
    if of_seeds.empty:
        return frame
    spreads = [name for name in ("std", "std_members", "std_repeats") if name in frame]
    means = [name for name in ("mean", "of_all", "unique") if name in frame]
    keys = [name for name in frame.columns if name not in {*spreads, *means, "reading", "n_signals"}]
    of_seeds[spreads] = of_seeds[spreads] ** 2
    grouped = of_seeds.groupby(keys, sort=False)
    pooled = grouped[[*spreads, *means]].mean()
    for name in spreads:
        between = 0.0 if name == "std_members" else grouped["mean"].var(ddof=0)
        pooled[name] = np.sqrt(pooled[name] + between)
    pooled = pooled.assign(reading=ONE_SEED, n_signals=grouped.size()).reset_index()
    return pd.concat([frame, pooled[frame.columns]], ignore_index=True)
