"""The searches that are compared, with the settings that each has in its paper or its usual code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raynas.search.scheduler.asha import Asha
from raynas.search.scheduler.fifo import Fifo

if TYPE_CHECKING:
    from raynas.search.asktell import SchedulerSpec, SearcherSpec
    from raynas.studies.baselines import Baselines

RANDOM = "random_search"
_ASHA = ("asha_promotion", "asha_stopping")
NAMES = (RANDOM, "regularized_evolution", "local_search", "tpe", "na_rs_mean", "na_rs_median", *_ASHA)

# Optuna's own defaults, named so that they stay what the report says.
_TPE = {"multivariate": True, "n_startup_trials": 10, "n_ei_candidates": 24}
AMPLE = 10**9  # proposals: the budget ends a search, not their number


@dataclass(frozen=True)
class Method:
    """One search.

    Attributes:
        name: As in frames and options.
        label: As people read it.
        settings: Its hyperparameters, in words.
        searcher: With them.
        scheduler: With them.
    """

    name: str
    label: str
    settings: str
    searcher: SearcherSpec
    scheduler: SchedulerSpec = Fifo()  # noqa: RUF009 - a value that never changes

    @property
    def stops_early(self) -> bool:
        """Whether trials are read before their end, too."""
        return not isinstance(self.scheduler, Fifo)


def methods(options: Baselines) -> list[Method]:
    """All searches, random search first."""
    from raynas.flatness.aggregator.mean import Mean
    from raynas.flatness.aggregator.median import Median
    from raynas.search.searcher.local_search import LocalSearch
    from raynas.search.searcher.neighborhood import Neighborhood
    from raynas.search.searcher.optuna import Optuna
    from raynas.search.searcher.random_search import RandomSearch
    from raynas.search.searcher.regularized_evolution import RegularizedEvolution

    uniform = RandomSearch(AMPLE)
    at_a_time = f"{options.workers} proposal{'s' * (options.workers > 1)} under way"
    evolution = RegularizedEvolution(n_proposals=AMPLE, parallelism=options.workers)
    local = LocalSearch(n_proposals=AMPLE)
    tpe = Optuna(sampler_options=_TPE, n_proposals=AMPLE, parallelism=options.workers)
    made = [
        Method(RANDOM, "random search", "uniform draws, with replacement", uniform),
        Method(
            "regularized_evolution",
            "regularized evolution",
            f"population {evolution.population_size}, tournaments of {evolution.sample_size} with "
            f"replacement, a child changes one edge, {at_a_time}",
            evolution,
        ),
        Method(
            "local_search",
            "local search",
            f"best of {local.n_initial} random ones, then all neighbors at distance 1, and on to the best if "
            "it is better; from a local optimum to one fresh random architecture",
            local,
        ),
        Method(
            "tpe",
            "TPE",
            f"Optuna's, multivariate, each edge a categorical choice; {_TPE['n_startup_trials']} random ones "
            f"first, then the best of {_TPE['n_ei_candidates']} candidates by the ratio of densities; "
            f"{at_a_time}",
            tpe,
        ),
    ]
    for name, aggregator in (("mean", Mean()), ("median", Median())):
        made.append(
            Method(
                f"na_rs_{name}",
                f"NA-RS {name}",
                f"random references, d = 1, n_nbr = {options.n_nbr}, the reference included; returns the "
                f"reference of the best {name} of its neighborhood",
                Neighborhood(uniform, n_nbr=options.n_nbr, aggregator=aggregator),
            )
        )
    for name, how in (
        ("promotion", "trials pause on a rung and go on once among its best third"),
        ("stopping", "trials not among the best third of a rung so far end there"),
    ):
        scheduler = Asha(variant="promotion" if name == "promotion" else "stopping")
        settings = f"random proposals, eta {scheduler.eta}, grace {scheduler.grace}; {how}"
        made.append(Method(f"asha_{name}", f"ASHA {name}", settings, uniform, scheduler))
    return made
