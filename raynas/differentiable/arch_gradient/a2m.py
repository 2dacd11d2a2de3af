"""Gradients towards flat minima in the architecture parameters (A2M; Gambella et al. 2025).

The objective is the loss after one step of ascent, ``L(tilde)`` at ``tilde = alpha + rho * g(alpha)`` with g
the gradient of L. Its derivative is ``g(tilde) + rho * H @ g(tilde)`` with H the Hessian at ``alpha``, whose
product is taken with a finite difference. Neither ``rho`` nor ``epsilon`` is divided by a norm.

Departures: the derivation centres the finite difference at ``alpha``, the released code at the moved
parameters; both are here, and the code's is the default. Left out is what the code has switched off: several
steps of ascent (lookbehind), and SGD for the parameters. Its version for DARTS-PT resets the parameters in
every step, which keeps them where they began; ``arch_gradient: frozen`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from raynas.differentiable.arch_gradient.first_order import FirstOrder
from raynas.differentiable.arch_gradient.frozen import Frozen
from raynas.differentiable.objective import Objective
from raynas.differentiable.parameters import Parameters, plus
from raynas.differentiable.schedule import Coefficient, require_not_negative, value
from raynas.differentiable.slots import ArchGradient
from raynas.lookup import Slot
from raynas.spaces import SearchSpace


@dataclass(frozen=True)
class A2M:
    """The gradient of a loss after one step of ascent; four gradients a step, of one batch and one draw.

    Attributes:
        rho: Length of the ascent step in gradients: 0.1 in the DARTS space, 0.01 in NAS-Bench-201.
        epsilon: Half width of the finite difference, in gradients.
        center: Where that is taken: ``tilde``, at the moved parameters, or ``alpha``, at the given ones.
        inner: Gives the gradients.
    """

    rho: Coefficient = 0.1
    epsilon: float = 0.01
    center: Literal["tilde", "alpha"] = "tilde"
    inner: Annotated[ArchGradient, Slot("raynas.differentiable.arch_gradient")] = field(
        default_factory=FirstOrder
    )

    neutral: ClassVar[Mapping[str, Any]] = {"rho": 0.0}

    def __post_init__(self) -> None:
        require_not_negative(rho=self.rho)
        if not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon: {self.epsilon} is not positive and finite; give 0.01")
        if isinstance(self.inner, Frozen):
            raise ValueError("inner: frozen has no gradient to ascend by; use arch_gradient: frozen alone")

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What ``inner`` cannot do in a space, as (field, message)."""
        of_inner = getattr(self.inner, "problems", None)
        if of_inner is not None:
            yield from ((f"inner.{name}", message) for name, message in of_inner(space))

    def gradient(self, alpha: Parameters, objective: Objective) -> Mapping[str, Tensor] | None:
        """See ``raynas.differentiable.slots.ArchGradient``; None where ``inner`` gives None."""
        rho = value(self.rho, objective.progress)
        here = self.inner.gradient(alpha, objective)
        if here is None or rho == 0:
            return here
        tilde = plus(alpha, here, times=rho)
        ascended = self._of_inner(tilde, objective)
        center = tilde if self.center == "tilde" else alpha
        up = self._of_inner(plus(center, ascended, times=self.epsilon), objective)
        down = self._of_inner(plus(center, ascended, times=-self.epsilon), objective)
        curvature = plus(up, down, times=-1.0)  # 2 epsilon H @ ascended
        return plus(ascended, curvature, times=rho / (2 * self.epsilon))

    def _of_inner(self, alpha: Parameters, objective: Objective) -> Mapping[str, Tensor]:
        found = self.inner.gradient(alpha, objective)
        if found is None:
            raise ValueError(f"{type(self.inner).__name__} gave a gradient and then none in one step")
        return found
