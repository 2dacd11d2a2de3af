"""The measurement of one sub-network: what ``ScoreSubnet`` starts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from raynas.errors import InputError
from raynas.flatness.subject import Measured, Metric, Subject
from raynas.oneshot.about import read_about
from raynas.oneshot.cost import SubnetFlops, subnet_flops
from raynas.oneshot.subnet import Scorer, resident_scorer
from raynas.search.asktell import Report
from raynas.spaces import Architecture, get_space
from raynas.storage import absolute
from raynas.trial import Trial
from raynas.workloads._table_accuracy import looked_up
from raynas.workloads.score_subnet import SCORE, only

if TYPE_CHECKING:
    from raynas.workloads.score_subnet import ScoreSubnet


_Known: TypeAlias = dict[tuple[str, str, int], Measured]
"""By metric, sub-network and seed."""


class SubnetScore:
    """One architecture, measured in one step.

    Args:
        settings: How to measure.
        trial: What, by which supernet, on what.
    """

    def __init__(self, settings: ScoreSubnet, trial: Trial) -> None:
        given = {"architecture": trial.architecture, "dataset": trial.dataset, "supernet": trial.supernet}
        if lacking := [name for name, value in given.items() if value is None]:
            raise InputError(
                f"workload score_subnet: the trial has no {lacking[0]}; name one in the configuration"
            )
        torch.set_num_threads(trial.n_threads)
        self._settings, self._trial = settings, trial
        self._place = _place(trial.supernet)
        self.done = False

    def step(self) -> Report:
        """Measures.

        Raises:
            InputError: The supernet is of another space, or lacks what the metric needs.
        """
        started = time.perf_counter()
        settings, trial, architecture = self._settings, self._trial, self._trial.architecture
        assert architecture is not None
        # by the run's seed, not the trial's: all candidates meet the same images and the same noise
        seed = trial.run_seed
        scorer = resident_scorer(self._place, trial.dataset, trial.device, settings.scoring, seed=seed)
        measured = _memory(scorer).of(settings.metric).measure(scorer.subnet(architecture), seed)
        metrics = {SCORE: measured.value, **measured.metrics}
        metrics["flops_m"] = subnet_flops(scorer.about)(architecture)
        if trial.table is not None:
            metrics |= looked_up(trial.table, architecture, dataset=settings.table_dataset, prefix="table")
        self.done = True
        return Report(metrics, 1, time.perf_counter() - started)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: there is one step."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to go on from."""


class Memory:
    """What metrics have measured of the sub-networks of one supernet.

    So a sweep over the weights of a combination measures each of its parts once a process.
    """

    def __init__(self) -> None:
        self._known: _Known = {}

    def of(self, metric: Any) -> Metric:
        """A metric that measures nothing twice, nor lets the metrics that it is made of."""
        parts = {one.name: getattr(metric, one.name) for one in dataclasses.fields(metric)}
        inner = {name: self.of(part) for name, part in parts.items() if hasattr(part, "measure")}
        # told apart by their text, since a metric of the user's own may have fields without a hash
        return _Remembering(repr(metric), dataclasses.replace(metric, **inner), self._known)


@dataclasses.dataclass(frozen=True)
class _Remembering:
    """A metric with a memory.

    Attributes:
        name: Tells it from others.
        metric: Its parts remember, too.
        known: What was measured so far.
    """

    name: str
    metric: Any
    known: _Known

    @property
    def reports(self) -> tuple[str, ...]:
        found: tuple[str, ...] = getattr(self.metric, "reports", ())
        return found

    def measure(self, subject: Subject, seed: int) -> Measured:
        key = (self.name, subject.name, seed)
        if key not in self.known:
            self.known[key] = self.metric.measure(subject, seed)
        return self.known[key]


@lru_cache(maxsize=2)
def _memory(scorer: Scorer) -> Memory:
    return Memory()


# Asked for every candidate, and where it is a store, looking is slow.
@lru_cache(maxsize=8)
def _place(supernet: str) -> str:
    return absolute(only(supernet))


def flops_counter(settings: ScoreSubnet, trial: Trial) -> Callable[[Architecture], float]:
    """See ``ScoreSubnet.flops_counter``."""
    if settings.training is None:
        if trial.supernet is None:
            raise InputError("supernet: is missing; name the run that trained one")
        return subnet_flops(read_about(_place(trial.supernet)))
    space, data = get_space(trial.space), trial.dataset.load()
    return SubnetFlops(settings.training.skeleton, space, data.image_shape, data.n_classes)
