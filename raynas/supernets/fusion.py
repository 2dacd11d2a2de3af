"""The edges of a NAS-Bench-201 cell computed together, in place of one candidate after another.

All edges that leave a node see the same value: its ReLU and its average pool are taken once, and the
convolutions of one kernel size are one convolution with the channels of all of them. Mixing weights of
convolutions are the scales of their batch norms, those of skips and pools enter fused multiply-adds. What
comes out is the sum over the candidates up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.supernets.mixed_edge import EdgeMixing, MixedEdge
from raynas.supernets.operations import ReLUConvBN, Zero


def fusible(edges: Sequence[nn.Module]) -> bool:
    """Whether all edges are plain ones of NAS-Bench-201's operations at stride 1, with the same columns."""
    columns = {
        tuple(map(_kind, edge.candidates)) if type(edge) is MixedEdge and edge.stride == 1 else ()
        for edge in edges
    }
    return len(columns) == 1 and all(columns.pop() or (None,))


def fused_values(
    edges: Sequence[MixedEdge],
    ends: Sequence[tuple[int, int]],
    x: Tensor,
    mixing: Sequence[EdgeMixing],
    edge_weights: Sequence[Tensor] | None,
) -> list[Tensor]:
    """Values of all nodes of a cell, of which the first is given; those to which nothing is added are zeros.

    Args:
        edges: For which ``fusible`` holds.
        ends: (target, source) of each, ordered by target.
        x: ``(n, channels, H, W)`` value of node 0.
        mixing: One an edge.
        edge_weights: For each edge a number, of no dimensions, that its output is multiplied by; None: 1.
    """
    n_nodes = 1 + max(target for target, _ in ends)
    sums: list[Tensor | None] = [x, *[None] * (n_nodes - 1)]

    def value(node: int) -> Tensor:
        found = sums[node]
        return torch.zeros_like(x) if found is None else found

    for source in range(n_nodes - 1):
        leaving = [row for row, (_, of) in enumerate(ends) if of == source]
        node = _Source(value(source))
        for column, candidate in enumerate(edges[0].candidates):
            rows = [row for row in leaving if mixing[row].alive[column]]
            if not rows or isinstance(candidate, Zero):
                continue
            weights = [mixing[row].weights[column] for row in rows]
            if edge_weights is not None:
                weights = [edge_weights[row] * weight for row, weight in zip(rows, weights, strict=True)]
            targets = [ends[row][0] for row in rows]
            if isinstance(candidate, ReLUConvBN):
                blocks = [edges[row].candidates[column] for row in rows]
                for target, term in zip(targets, node.convolved(blocks, weights), strict=True):
                    sums[target] = _sum(sums[target], term)
                continue
            tensor = node.pooled() if isinstance(candidate, nn.AvgPool2d) else node.x
            for target, weight in zip(targets, weights, strict=True):
                before = sums[target]
                sums[target] = weight * tensor if before is None else torch.addcmul(before, tensor, weight)
    return [value(node) for node in range(n_nodes)]


class _Source:
    """A node's value, and what several edges make of it in common."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self._pooled: Tensor | None = None
        self._rectified: Tensor | None = None

    def pooled(self) -> Tensor:
        if self._pooled is None:
            self._pooled = functional.avg_pool2d(self.x, 3, stride=1, padding=1, count_include_pad=False)
        return self._pooled

    def convolved(self, blocks: Sequence[nn.Module], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """One block's weighted output after the other."""
        if self._rectified is None:
            self._rectified = functional.relu(self.x)
        convolutions: list[nn.Conv2d] = [block[1] for block in blocks]  # type: ignore[index]
        norms: list[nn.BatchNorm2d] = [block[2] for block in blocks]  # type: ignore[index]
        kernels = torch.cat([convolution.weight for convolution in convolutions])
        y = functional.conv2d(self._rectified, kernels, padding=convolutions[0].padding)
        width = norms[0].num_features
        scales = torch.stack(list(weights)).repeat_interleave(width)
        return torch.split(_normalized(y, norms, scales), width, dim=1)


def _normalized(y: Tensor, norms: Sequence[nn.BatchNorm2d], scales: Tensor) -> Tensor:
    """Batch norms of blocks of channels, each scaled; their running statistics follow where they would."""
    first = norms[0]
    training, tracked = first.training, first.track_running_stats
    mean = variance = None
    if tracked or not training:
        mean = torch.cat([norm.running_mean for norm in norms])  # type: ignore[misc]
        variance = torch.cat([norm.running_var for norm in norms])  # type: ignore[misc]
    assert first.momentum is not None
    made = functional.batch_norm(
        y, mean, variance, scales, None, training=training, momentum=first.momentum, eps=first.eps
    )
    if training and mean is not None and variance is not None:
        with torch.no_grad():
            for name, statistics in (("running_mean", mean), ("running_var", variance)):
                owned = [getattr(norm, name) for norm in norms]
                parts = torch.split(statistics, first.num_features)
                torch._foreach_copy_(owned, parts)
            counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
            torch._foreach_add_(counts, 1)
    return made


def _sum(before: Tensor | None, term: Tensor) -> Tensor:
    return term if before is None else before + term


def _kind(candidate: nn.Module) -> tuple[object, ...] | None:
    """What a candidate is, as far as fusing goes; None for one that cannot be fused."""
    match candidate:
        case ReLUConvBN():
            convolution, norm = candidate[1], candidate[2]
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            return None if norm.affine else (ReLUConvBN, convolution.kernel_size)
        case Zero() | nn.Identity() | nn.AvgPool2d():
            return (type(candidate),)
        case _:
            return None
