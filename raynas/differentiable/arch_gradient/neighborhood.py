"""The gradient over a neighborhood in the mixing weights (NA-DARTS; Wang et al. 2021).

The reference, the mixing weights that the parameters relax to, and ``n_nbr - 1`` neighbors of it are
evaluated on the same batch; the gradient is that of an aggregate of their losses. A neighbor has other
weights on ``d`` edges of each kind of cell, and so a distance, the total variation summed over edges, of at
most ``d`` from the reference in each.

Departures, where the paper is silent: ``d`` counts the edges of each kind of cell by itself, and the noise of
an edge is uniform over all that is allowed, ``-min(epsilon_q, p)`` to ``epsilon_q`` for a weight ``p``. Edges
that are decided stay as they are. The aggregate's derivative is taken as a weighted sum of the members'
gradients, so that one of their graphs is held at a time; it is exact for the spread, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, SupportsIndex, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raynas.differentiable.objective import Move, Objective
from raynas.differentiable.parameters import Parameters, plus
from raynas.differentiable.schedule import Coefficient, require_not_negative, value
from raynas.flatness.aggregator.max import Max
from raynas.flatness.aggregator.mean import Mean
from raynas.flatness.aggregator.median import Median
from raynas.flatness.aggregator.variance import Variance
from raynas.lookup import Slot
from raynas.ranges import require_positive
from raynas.spaces import SearchSpace
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixing import Theta

FORCED = ("none", "skip_connect")
"""Operations that the multiplicative representation forces an edge to."""

_LEAST_SUM = 1e-12

Aggregator: TypeAlias = Callable[[np.ndarray], np.ndarray | float]
"""What fills ``raynas.flatness.aggregator``."""

_Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Neighborhood:
    """The gradient of an aggregate of the losses of a neighborhood.

    Attributes:
        d: Edges that a neighbor changes in each kind of cell; where fewer are undecided, all of those. The
            paper's 6 are of the DARTS space's 14; 2 or 3 are the like share of NAS-Bench-201's 6.
        n_nbr: Members evaluated, the reference included.
        epsilon_q: Greatest change of a weight, before the edge's weights are scaled to sum to 1; of the
            additive representation.
        representation: ``additive`` adds noise to an edge's weights; ``multiplicative``, the paper's for the
            maximum, forces the edge to ``none`` or ``skip_connect``, and its own gradient to zero; an edge
            with neither stays as it is.
        aggregator: Makes one loss of the members'; its derivative is known for the mean, the maximum, the
            median and the variance.
    """

    d: int = 6
    n_nbr: int = 10
    epsilon_q: Coefficient = 0.1
    representation: Literal["additive", "multiplicative"] = "additive"
    aggregator: Annotated[Aggregator, Slot("raynas.flatness.aggregator")] = field(default_factory=Mean)

    neutral: ClassVar[Mapping[str, Any]] = {"d": 0}
    moves_mixing: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.d < 0:
            raise ValueError(f"d: {self.d} is below 0; give 1 or more, or 0 for the reference alone")
        require_positive(n_nbr=self.n_nbr)
        require_not_negative(epsilon_q=self.epsilon_q)
        if type(self.aggregator) not in _DERIVATIVES:
            raise ValueError(
                f"aggregator: the derivative of {type(self.aggregator).__name__} is not known; "
                "use mean, max, median or variance"
            )

    def problems(self, space: SearchSpace) -> Iterator[tuple[str, str]]:
        """What cannot work in a space, as (field, message)."""
        layout = Layout(space)
        fewest = min(map(len, layout.edges.values()))
        if self.d > fewest:
            yield "d", f"{self.d} exceeds the {fewest} edges of a cell of {space.name}; use d <= {fewest}"
        if self.representation == "multiplicative" and not set(FORCED) & set(space.operations):
            yield (
                "representation",
                f"multiplicative forces edges to {' or '.join(FORCED)}, and {space.name} has neither; "
                "use additive",
            )

    def gradient(self, alpha: Parameters, objective: Objective) -> Mapping[str, Tensor]:
        """See ``raynas.differentiable.slots.ArchGradient``."""
        moves = self._moves(objective)
        if not moves or self.aggregator == Variance(lam=0.0):
            return objective.gradient(alpha)
        members = [None, *moves]
        if isinstance(self.aggregator, Max | Median):  # one or two members make its whole gradient
            losses = [objective.value(alpha, member) for member in members]
            return _weighted_sum(self._shares(losses), lambda at: objective.gradient(alpha, members[at]))
        pairs = [objective.value_and_gradient(alpha, member) for member in members]
        return _weighted_sum(self._shares([loss for loss, _ in pairs]), lambda at: pairs[at][1])

    def _shares(self, losses: list[Tensor]) -> _Numbers:
        """Derivatives of the aggregate by the losses."""
        numbers = torch.stack(losses).double().cpu().numpy()
        return _DERIVATIVES[type(self.aggregator)](self.aggregator, numbers)

    def _moves(self, objective: Objective) -> list[Move]:
        """From the reference's mixing weights to each neighbor's; the same whenever asked for in a step."""
        epsilon_q = value(self.epsilon_q, objective.progress)
        additive = self.representation == "additive"
        allowed = objective.alive if additive else _forcible(objective.layout, objective.alive)
        undecided = {
            kind: np.flatnonzero((alive.sum(1) > 1) & allowed[kind].any(1))
            for kind, alive in objective.alive.items()
        }
        if self.d == 0 or (additive and epsilon_q == 0) or not any(map(len, undecided.values())):
            return []
        generator = objective.generator("neighborhood")
        moves: list[Move] = []
        for _ in range(self.n_nbr - 1):
            changes = {
                kind: _change(rows, allowed[kind], self.d, generator) for kind, rows in undecided.items()
            }
            moves.append(_Neighbor(changes, epsilon_q if additive else None))
        return moves


@dataclass(frozen=True, eq=False)
class _Change:
    """What a neighbor changes in one kind of cell.

    Attributes:
        edges: ``(n,)`` rows.
        draws: ``(n, columns)`` numbers, uniform in [0, 1).
        allowed: ``(n, columns)``: which weights may be raised.
    """

    edges: Tensor
    draws: Tensor
    allowed: Tensor


@dataclass(frozen=True, eq=False)
class _Neighbor:
    """Moves mixing weights from the reference to a neighbor.

    Attributes:
        changes: By kind of cell.
        epsilon_q: Bound of the additive noise; None: edges are forced to one operation.
    """

    changes: Mapping[str, _Change]
    epsilon_q: float | None

    def __call__(self, theta: Theta) -> dict[str, Tensor]:
        return {kind: self._moved(rows, self.changes[kind]) for kind, rows in theta.items()}

    def _moved(self, rows: Tensor, change: _Change) -> Tensor:
        edges, allowed = change.edges.to(rows.device), change.allowed.to(rows.device)
        draws = change.draws.to(rows)
        if self.epsilon_q is None:
            chosen = torch.where(allowed, draws, -1.0).argmax(-1)  # uniform over what is allowed
            moved = torch.nn.functional.one_hot(chosen, rows.shape[-1]).to(rows)
        else:
            moved = _noisy(rows[edges], draws, allowed, self.epsilon_q)
        return rows.index_copy(0, edges, moved)


def _noisy(rows: Tensor, draws: Tensor, allowed: Tensor, epsilon_q: float) -> Tensor:
    """Weights plus noise, a constant to the gradient, scaled to sum to 1."""
    least = -rows.detach().clamp(max=epsilon_q)  # so that no weight falls below 0
    noisy = rows + (least + draws * (epsilon_q - least)) * allowed
    return noisy / noisy.sum(-1, keepdim=True).clamp(min=_LEAST_SUM)


def _change(
    rows: NDArray[np.intp], allowed: NDArray[np.bool_], d: int, generator: torch.Generator
) -> _Change:
    """Up to ``d`` of the rows, uniformly without replacement, and their draws."""
    order = torch.randperm(len(rows), generator=generator)[:d]
    edges = torch.tensor(rows)[order]
    shape = (len(edges), allowed.shape[1])
    draws = torch.rand(shape, generator=generator, dtype=torch.float64)
    return _Change(edges, draws, torch.tensor(allowed)[edges])


def _forcible(layout: Layout, alive: Alive) -> dict[str, NDArray[np.bool_]]:
    columns = [layout.columns_of(name) for name in FORCED]
    return {kind: rows & np.logical_or(*(one[kind] for one in columns)) for kind, rows in alive.items()}


def _weighted_sum(shares: NDArray[np.float64], gradient_of: Callable[[int], Parameters]) -> dict[str, Tensor]:
    """Gradients times their shares; those of no share are not asked for."""
    total: dict[str, Tensor] = {}
    for at in np.flatnonzero(shares).tolist():
        share = float(shares[at])
        part = {name: share * tensor for name, tensor in gradient_of(at).items()}
        total = plus(total, part) if total else part
    return total


def _of_mean(aggregator: Mean, losses: _Numbers) -> _Numbers:
    return np.full(len(losses), 1 / len(losses))


def _of_max(aggregator: Max, losses: _Numbers) -> _Numbers:
    return _one_hot(len(losses), losses.argmax())


def _of_median(aggregator: Median, losses: _Numbers) -> _Numbers:
    n, order = len(losses), losses.argsort(kind="stable")
    return (_one_hot(n, order[(n - 1) // 2]) + _one_hot(n, order[n // 2])) / 2


def _of_variance(aggregator: Variance, losses: _Numbers) -> _Numbers:
    n, spread = len(losses), losses.std()
    reference = _one_hot(n, 0)
    if spread == 0:  # its least value, where zero is one of its slopes
        return reference
    slopes: _Numbers = (losses - losses.mean()) / (n * spread)
    return reference + aggregator.lam * slopes


def _one_hot(n: int, at: SupportsIndex) -> _Numbers:
    numbers = np.zeros(n)
    numbers[at] = 1.0
    return numbers


_DERIVATIVES: Mapping[type[Any], Callable[[Any, _Numbers], _Numbers]] = {
    Mean: _of_mean,
    Max: _of_max,
    Median: _of_median,
    Variance: _of_variance,
}
