"""What is measured of every sub-network: its losses under noise, of all kinds that tables compare.

Flatness is arithmetic on losses, and so are its levels, its ``alpha`` and all combinations: where the levels
share their noise or their direction, the loss at one does not hang on which others there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from raynas.flatness.metric.accuracy import Accuracy
from raynas.flatness.metric.angle import Angle
from raynas.flatness.metric.flatness import Flatness
from raynas.flatness.noise import Mode
from raynas.flatness.subject import Measured, Subject

if TYPE_CHECKING:
    from raynas.oneshot.settings import Average
    from raynas.studies.genas import Genas

SIGMA = Flatness.sigma
SIGMAS = ((1e-6, 5e-6, 1e-5), (5e-4, 1e-3, 2e-3), SIGMA, (2e-3, 2e-2, 4e-2))
LEVELS = tuple(sorted({level for sigma in SIGMAS for level in sigma}))
SHARED = Flatness.mode
OTHER_MODES = tuple(mode for mode in get_args(Mode) if mode != SHARED)

ACCURACY, ANGLE, LOSS, SIZE, ALL_LEVELS = "accuracy", "angle", "loss", "size", "levels"
CELLS, FRESH, HESSIAN, EMA, EMA_ACCURACY = "cells", "fresh", "hessian", "ema", "ema accuracy"

_PASSES_HESSIAN = 100  # as measured


@dataclass(frozen=True)
class Probe:
    """One measurement.

    Attributes:
        name: Of the measurement.
        metric: See ``raynas.flatness.subject.Metric``.
        n: Of how many architectures, the first ones.
        recalibration: How their statistics are averaged.
    """

    name: str
    metric: Any
    n: int
    recalibration: Average = "average"

    @property
    def cost(self) -> int:
        """About how many passes over the images an architecture takes, to tell how long the rest will."""
        return _PASSES_HESSIAN if self.name == HESSIAN else len(self.metric.reports)


@dataclass(frozen=True)
class Loss:
    """The validation loss without noise."""

    @property
    def reports(self) -> tuple[str, ...]:
        return ("loss",)

    def measure(self, subject: Subject, seed: int) -> Measured:
        loss = subject.losses([subject.weights])[0]
        return Measured(loss, loss, {"loss": loss})


@dataclass(frozen=True)
class Size:
    """The number of weights that the output hangs on."""

    @property
    def reports(self) -> tuple[str, ...]:
        return ("parameters",)

    def measure(self, subject: Subject, seed: int) -> Measured:
        n = float(sum(weight.numel() for weight in subject.weights.values()))
        return Measured(n, n, {"parameters": n})


def probes(options: Genas) -> list[Probe]:
    """All measurements.

    Args:
        options: Of the study.
    """
    every, some, few = options.architectures, options.variants, options.hessian
    beside = {ACCURACY: Accuracy(), ANGLE: Angle()}
    made = [Probe(name, beside[name], every) for name in beside if name in options.measures]
    made += [
        Probe(SIZE, Size(), every),
        Probe(LOSS, Loss(), every),
        Probe(ALL_LEVELS, Flatness(sigma=LEVELS), every),
        *(
            Probe(of_mode(mode, sigma), Flatness(sigma=sigma, mode=mode), some)
            for mode in OTHER_MODES
            for sigma in SIGMAS
        ),
        Probe(FRESH, Flatness(common=False), some),
        Probe(CELLS, Flatness(position="cells"), some),
        Probe(HESSIAN, Flatness(sigma=LEVELS, direction="hessian"), few),
        Probe(EMA, Flatness(), some, "ema"),
    ]
    if ACCURACY in options.measures:
        made.append(Probe(EMA_ACCURACY, Accuracy(), some, "ema"))
    return [probe for probe in made if probe.n > 1]


def of_mode(mode: str, sigma: tuple[float, ...]) -> str:
    """Name of the measurement with a mode of noise and its levels."""
    return f"{mode} {written(sigma)}"


def written(sigma: tuple[float, ...]) -> str:
    """Levels of noise as tables show them."""
    return ", ".join(f"{level:g}" for level in sigma)
