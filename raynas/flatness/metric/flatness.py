"""Flatness of the loss under growing noise on trained weights (GeNAS; Jeong et al., IJCAI 2023, Eq. 3, 4).

Departures: Equation 4 as typeset inverts its last term alone; as in the released code the whole sum is
inverted here. The paper also steps along the Hessian's first eigenvector but says nothing of its length; by
our own choice it is 1, and it points where the loss rises. Noise of the same ``sigma`` on n weights is the
root of n times as long: so far along the sharpest of all directions hardly a network is left. For the noise
see ``raynas.flatness.noise``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raynas.flatness.noise import Mode, Noise, Position, require_levels
from raynas.flatness.subject import Measured, Subject, Weights
from raynas.seeding import derive


@dataclass(frozen=True)
class Flatness:
    """Inverse of how much the validation loss changes from one level of noise to the next.

    Attributes:
        sigma: Standard deviations of the noise, positive and increasing. The paper's best are those here for
            NAS-Bench-201, and for DARTS (1e-5, 5e-5, 1e-4) on CIFAR-10 and (1e-3, 3e-3, 6e-3) on CIFAR-100.
        alpha: Weight of the loss itself at the first level (its depth); 0 leaves the slopes alone (Eq. 3).
        eps: Added to the sum that is inverted.
        mode: How the levels' draws hang together: ``shared``, ``direct`` (the paper) or ``cumulative`` (its
            code); see ``Noise``.
        position: Which weights are moved: ``all``, or those of the searched ``cells`` alone.
        common: Whether all candidates get the same noise, which leaves less chance in their ranking; if not,
            each draws its own, as in the paper's code.
        direction: ``random``, or ``hessian``: steps of length ``sigma`` along the first eigenvector of the
            loss's Hessian on one batch, in which all modes are the same and nothing is drawn.
    """

    sigma: tuple[float, ...] = (2e-3, 1e-2, 2e-2)
    alpha: float = 1.0
    eps: float = 1e-5
    mode: Mode = "shared"
    position: Position = "all"
    common: bool = True
    direction: Literal["random", "hessian"] = "random"

    def __post_init__(self) -> None:
        require_levels(self.sigma)
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha: {self.alpha} is not a weight; give a finite number of 0 or more")
        if self.alpha == 0 and len(self.sigma) == 1:
            raise ValueError(
                "alpha: 0 with one level of noise leaves nothing to measure; give 1 or more levels"
            )
        if not 0 < self.eps < math.inf:
            raise ValueError(f"eps: {self.eps} is not positive and finite; give 1e-5 or so")

    @property
    def beta(self) -> float:
        """What brings flatness to about 1, beside another metric's share (Eq. 5)."""
        return 1 / self.sigma[0]

    @property
    def reports(self) -> tuple[str, ...]:
        return ("flatness", *(f"perturbed_loss_{level + 1}" for level in range(len(self.sigma))))

    def measure(self, subject: Subject, seed: int) -> Measured:
        """Flatness; its share is ``beta`` times that. Reports the loss at every level, too, in nats."""
        losses = subject.losses(self._levels(subject, seed))
        value = flatness_value(losses, self.sigma, alpha=self.alpha, eps=self.eps)
        numbers = dict(zip(self.reports, (value, *losses), strict=True))
        return Measured(value, self.beta * value, numbers)

    def _levels(self, subject: Subject, seed: int) -> Sequence[Weights]:
        if self.direction == "hessian":
            return self._along_hessian(subject, seed)
        names = () if self.common else (subject.name,)
        drawn = Noise(self.sigma, self.mode, self.position, derive(seed, "flatness", *names))
        return subject.perturbed(drawn)

    def _along_hessian(self, subject: Subject, seed: int) -> list[Weights]:
        from raynas.flatness.eigenvector import steepest  # so that checking a config loads no torch

        moved = [name for name in subject.weights if self.position == "all" or subject.in_cells(name)]
        direction = steepest(subject.loss, subject.weights, moved, seed=derive(seed, "hessian"))
        return [
            {**subject.weights, **{name: subject.weights[name] + sigma * d for name, d in direction.items()}}
            for sigma in self.sigma
        ]


def flatness_value(
    losses: Sequence[float], sigma: Sequence[float], *, alpha: float = 1.0, eps: float = 1e-5
) -> float:
    """Flatness of losses under growing noise (Eq. 4, corrected; Eq. 3 at alpha 0).

    Args:
        losses: One a level, in nats.
        sigma: Standard deviation of the noise at each level, increasing from above 0.
        alpha: Weight of the first level's loss over its noise.
        eps: Added to the sum.

    Returns:
        In units of noise a nat, so the numbers depend on ``sigma``; 0 where a loss is not finite, since the
        noise then breaks the network; ``inf`` where there is nothing to invert.

    Raises:
        ValueError: The levels do not increase from above 0, or there are not as many as losses.
    """
    require_levels(tuple(sigma))
    if len(losses) != len(sigma):
        raise ValueError(f"losses: {len(losses)} for {len(sigma)} levels of noise; give one a level")
    if not all(map(math.isfinite, losses)):
        return 0.0
    slopes = (abs(losses[i + 1] - losses[i]) / (sigma[i + 1] - sigma[i]) for i in range(len(losses) - 1))
    depth = abs(losses[0] / sigma[0])
    steepness = sum(slopes) + alpha * depth + eps
    return 1 / steepness if steepness else math.inf
