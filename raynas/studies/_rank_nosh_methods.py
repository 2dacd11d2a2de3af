"""The searches that are compared, and the variants of RANK-NOSH, each with its settings in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from raynas.predictors.ranker.siamese import Siamese
from raynas.search.scheduler.hyperband import Hyperband
from raynas.search.scheduler.nosh import Nosh
from raynas.search.scheduler.successive_halving import SuccessiveHalving, greatest_power
from raynas.search.searcher.random_search import RandomSearch
from raynas.search.searcher.rank_predictor import RankPredictor
from raynas.studies._baselines_methods import AMPLE, RANDOM, Method, methods

if TYPE_CHECKING:
    from raynas.studies.rank_nosh import RankNosh

RANK_NOSH, PLAIN = "rank_nosh", "rank_predictor"
_SHARED = ("asha_promotion", "regularized_evolution", "tpe", RANDOM)
NAMES = ("nosh", "successive_halving", "hyperband", *_SHARED)
LEVELS, RATIO, LOSS, ENCODER, LEVEL_0 = ABLATIONS = ("levels", "ratio", "loss", "encoder", "level0")
ETA = 3

# By the schedule: levels that cost a pool of 100 what the paper spends on NAS-Bench-201 and on DARTS.
_PRESETS = {200: (10, 50, 100, 200), 50: (1, 2, 20, 50), 12: (1, 2, 3, 12)}
_SHARES = (0.05, 0.1, 0.25, 1.0)  # of any other schedule
_RATIOS = (0.3, 0.7)  # the paper finds [0.4, 0.7] stable and 0.3 worse


def usual_levels(last: int) -> tuple[int, ...]:
    """Levels for a schedule of so many epochs."""
    return _PRESETS.get(last) or _shared_out(_SHARES, last)


def papers_levels(last: int) -> tuple[int, ...]:
    """In proportion to those that cost the paper's budget on NAS-Bench-201's schedule of 200 epochs."""
    return _shared_out([epoch / 200 for epoch in _PRESETS[200]], last)


def components(options: RankNosh, levels: tuple[int, ...]) -> tuple[RankPredictor, Nosh]:
    """What RANK-NOSH is made of.

    Args:
        options: Of the study.
        levels: Epochs of the pyramid's levels.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    predictor = Siamese(hidden=options.hidden, epochs=options.fit_epochs, learning_rate=options.learning_rate)
    n_first, n_batch, n_pool = options.n_first, options.n_batch, options.n_pool
    searcher = RankPredictor(predictor, n_proposals=n_pool, n_first=n_first, n_batch=n_batch)
    return searcher, Nosh(levels, options.r, n_first=n_first, n_batch=n_batch, n_pool=n_pool)


def compared(
    options: RankNosh, searcher: RankPredictor, scheduler: Nosh, *, last: int, n_most: int
) -> list[Method]:
    """All that are asked for, RANK-NOSH first and its predictor without pausing second.

    Args:
        options: Of the study.
        searcher: RANK-NOSH's.
        scheduler: RANK-NOSH's.
        last: Epochs of a full training.
        n_most: Architectures in the space.
    """
    uniform, predictor = RandomSearch(AMPLE), searcher.predictor
    halving = SuccessiveHalving(ETA ** (greatest_power(ETA, last - 1) + 1), ETA)
    hyperband = Hyperband(last, ETA)
    starts = [(bracket.n, [*bracket.rungs, last][0]) for bracket in hyperband.brackets]
    named = {
        "nosh": Method(
            "nosh", "NOSH, random", "RANK-NOSH's pyramid, of uniform draws instead", uniform, scheduler
        ),
        "successive_halving": Method(
            "successive_halving",
            "successive halving",
            f"synchronous, one cohort of {halving.n} uniform draws after another, eta {ETA}, rungs at epochs "
            f"{listed(halving.bracket.rungs)} and the end",
            uniform,
            halving,
        ),
        "hyperband": Method(
            "hyperband",
            "Hyperband",
            f"uniform draws, eta {ETA}, R = {last}; brackets of "
            + ", ".join(f"{n} from epoch {epoch}" for n, epoch in starts)
            + ", again and again",
            uniform,
            hyperband,
        ),
        **{
            method.name: replace(method, label=method.label.removesuffix(" promotion"))
            for method in methods(options.searched)
            if method.name in _SHARED
        },
    }
    return [
        Method(
            RANK_NOSH,
            "RANK-NOSH",
            f"levels at epochs {listed(scheduler.levels)}, r = {scheduler.r:g}; {scheduler.n_first} random "
            f"ones first, then batches of {scheduler.n_batch} to a pool of {scheduler.n_pool}. Before each "
            "batch a graph network is fitted anew to all pairs of the pool (RankNet's loss, "
            f"{predictor.layers} layers of width {predictor.hidden}, {predictor.epochs} passes at a learning "
            f"rate of {predictor.learning_rate:g}) and ranks all that nobody has proposed",
            searcher,
            scheduler,
        ),
        Method(
            PLAIN,
            "the predictor without pausing",
            "the same searcher with the same batches, every architecture trained to the end, until the "
            "budget is spent",
            replace(searcher, n_proposals=min(options.budget, n_most)),
        ),
        *(named[name] for name in NAMES if not options.methods or name in options.methods),
    ]


def variants(ablation: str, main: Method, searcher: RankPredictor, scheduler: Nosh) -> Iterator[Method]:
    """RANK-NOSH with one thing changed; none for level 0, which needs networks.

    Args:
        ablation: One of ``ABLATIONS``.
        main: RANK-NOSH itself.
        searcher: Its searcher.
        scheduler: Its scheduler.
    """

    def of_predictor(label: str, **changes: object) -> Method:
        predictor = replace(searcher.predictor, **changes)
        return replace(main, name=label, label=label, searcher=replace(searcher, predictor=predictor))

    def of_scheduler(label: str, **changes: object) -> Method:
        made: Callable[..., Nosh] = replace
        return replace(main, name=label, label=label, scheduler=made(scheduler, **changes))

    levels, last = scheduler.levels, scheduler.levels[-1]
    if ablation == LEVELS:
        for other in dict.fromkeys([levels[1:], (levels[0], last), papers_levels(last)]):
            if other not in ((), levels):
                yield of_scheduler(f"levels {listed(other)}", levels=other)
    elif ablation == RATIO:
        yield from (of_scheduler(f"r = {r:g}", r=r) for r in _RATIOS if r != scheduler.r)
    elif ablation == LOSS:
        yield of_predictor("hinge loss", loss="hinge")
    elif ablation == ENCODER:
        yield of_predictor("MLP", encoder="mlp")


def listed(epochs: Sequence[int]) -> str:
    """``1, 2, 5``."""
    return ", ".join(map(str, epochs))


def _shared_out(shares: Sequence[float], last: int) -> tuple[int, ...]:
    return tuple(sorted({max(1, round(share * last)) for share in shares}))
