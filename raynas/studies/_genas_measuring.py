"""The measurements of the study of GeNAS, in pieces of some architectures of one supernet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raynas.studies._pieces import NOTHING_KEPT, Pieces
from raynas.studies._workers import finished

if TYPE_CHECKING:
    from raynas.data.images import DatasetSpec
    from raynas.flatness.subject import Subject
    from raynas.spaces import Architecture
    from raynas.studies import Progress
    from raynas.studies._genas_material import Material, Trained
    from raynas.studies._genas_probes import Probe
    from raynas.studies._truth import Floats

_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Readings:
    """What was measured in one supernet.

    Attributes:
        numbers: By the probe's name ``(n, k)``, n the first architectures and k what its metric reports.
        seconds: By the probe's name the processor's seconds an architecture.
    """

    numbers: Mapping[str, Floats]
    seconds: Mapping[str, float]

    def of(self, probe: str) -> Floats:
        """``(n,)`` values of a probe that reports one number."""
        return self.numbers[probe][:, 0]

    def losses(self, probe: str) -> Floats:
        """``(n, levels)`` losses of a probe of flatness in nats."""
        return self.numbers[probe][:, 1:]


@dataclass(frozen=True)
class _Task:
    number: int
    supernet: Trained
    spec: DatasetSpec
    device: str
    n_valid: int | None
    start: int
    architectures: tuple[Architecture, ...]
    probes: tuple[Probe, ...]

    def n_of(self, probe: Probe) -> int:
        """How many of the architectures a probe measures."""
        return min(max(0, probe.n - self.start), len(self.architectures))

    @property
    def cost(self) -> int:
        """In passes over the images."""
        return sum(self.n_of(probe) * probe.cost for probe in self.probes)


@dataclass(frozen=True)
class _Piece:
    number: int
    start: int
    end: int
    numbers: dict[str, list[list[float]]]
    seconds: dict[str, float]


def measure(
    material: Material,
    architectures: Sequence[Architecture],
    probes: Sequence[Probe],
    *,
    progress: Progress,
    pieces: Pieces = NOTHING_KEPT,
) -> list[Readings]:
    """Measures architectures in all supernets.

    Args:
        material: The supernets, the images.
        architectures: Of the supernets' space.
        probes: What.
        progress: Told after every piece.
        pieces: Keeps them.

    Returns:
        One a supernet, in their order.
    """
    tasks = [
        _Task(
            number,
            supernet,
            material.spec,
            material.device,
            material.n_valid,
            start,
            tuple(architectures[start : start + _AT_ONCE]),
            tuple(probes),
        )
        for number, supernet in enumerate(material.supernets)
        for start in range(0, len(architectures), _AT_ONCE)
    ]
    found, to_do = pieces.split(tasks, _Piece)
    if found:
        progress(f"{len(found)} of {len(tasks)} pieces are there from before")
    began = time.monotonic()
    costs = {(task.number, task.start): task.cost for task in to_do}
    spent = 0
    with finished(_measured, to_do, processes=material.processes, pieces=pieces) as done:
        for piece in done:
            found.append(piece)
            spent += costs[piece.number, piece.start]
            left = (time.monotonic() - began) * (sum(costs.values()) / spent - 1)
            progress(
                f"{len(found)} of {len(tasks)} pieces: supernet {piece.number + 1} of "
                f"{len(material.supernets)}, {piece.end:,} of {len(architectures):,} architectures; about "
                f"{left / 60:.0f} minutes left"
            )
    return [
        _together(sorted((one for one in found if one.number == number), key=lambda one: one.start))
        for number in range(len(material.supernets))
    ]


def _together(pieces: Sequence[_Piece]) -> Readings:
    names = pieces[0].numbers
    numbers = {name: np.array([row for piece in pieces for row in piece.numbers[name]]) for name in names}
    spent = {name: sum(piece.seconds[name] for piece in pieces) for name in names}
    return Readings(numbers, {name: spent[name] / max(1, len(numbers[name])) for name in names})


def _measured(task: _Task) -> _Piece:
    from raynas.oneshot.settings import Recalibration, Scoring
    from raynas.oneshot.subnet import resident_scorer
    from raynas.supernets.threads import threads

    subnets: dict[str, list[Subject]] = {}
    numbers: dict[str, list[list[float]]] = {}
    seconds: dict[str, float] = {}
    supernet = task.supernet
    with threads(1):
        # probe by probe, since a supernet keeps the noise of a few at a time
        for probe in task.probes:
            n = task.n_of(probe)
            scoring = Scoring(Recalibration(mode=probe.recalibration), task.n_valid)
            scorer = resident_scorer(supernet.uri, task.spec, task.device, scoring, seed=supernet.seed)
            kept = subnets.setdefault(probe.recalibration, [])
            kept += map(scorer.subnet, task.architectures[len(kept) : n])
            began = time.process_time()
            found = [probe.metric.measure(one, supernet.seed) for one in kept[:n]]
            seconds[probe.name] = time.process_time() - began
            reports = probe.metric.reports
            numbers[probe.name] = [[float(measured.metrics[name]) for name in reports] for measured in found]
    return _Piece(task.number, task.start, task.start + len(task.architectures), numbers, seconds)
