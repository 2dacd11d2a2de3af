"""An auxiliary skip connection on every edge, which fades out (DARTS-; Chu et al., ICLR 2021).

It stands beside the mixed operations and their own skip, outside the softmax, and is no part of an
architecture: ``mixed(x) + weight * skip(x)``, where the skip is the identity or, on edges that halve the
image, DARTS's factorized reduction with weights of its own.

Departures: not built is the slow cosine of the released code. An edge of which no operation is left loses its
auxiliary skip, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from raynas.differentiable.schedule import Coefficient, Cosine, Linear, Ramp, extremes, require_not_negative
from raynas.supernets.mixed_edge import BuildEdge, EdgeMixing, EdgeShape
from raynas.supernets.operations import operation


@dataclass(frozen=True)
class AuxiliarySkip:
    """``weight`` times a skip, added to every edge.

    Attributes:
        weight: Coefficient of the skip; beta in the paper. The number 0 gives the plain edge.
        operation: On edges that keep the image's size: ``skip`` is the identity, ``conv_1x1`` a 1x1
            convolution that begins as the identity and learns (the paper's ablation).
    """

    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}

    weight: Coefficient = field(default=Linear((1.0, 0.0)))
    operation: Literal["skip", "conv_1x1"] = "skip"

    def __post_init__(self) -> None:
        if isinstance(self.weight, Ramp):
            raise ValueError(
                f"weight: a ramp counts the epochs, which an edge does not know; "
                f"use {{linear: {list(self.weight.ramp)}}}"
            )
        require_not_negative(weight=self.weight)

    def wrapped(self, shape: EdgeShape, build: BuildEdge) -> nn.Module:
        """See ``raynas.supernets.mixed_edge.EdgeWrapper``."""
        edge = build(shape)
        if extremes(self.weight) == (0, 0):
            return edge
        skip = (
            IdentityConvolution(shape.channels)
            if self.operation == "conv_1x1" and shape.stride == 1
            else operation("skip_connect", shape.channels, stride=shape.stride, affine=shape.affine)
        )
        return AuxiliaryEdge(edge, skip, self.weight)


class AuxiliaryEdge(nn.Module):
    """An edge and a skip beside it.

    Args:
        edge: The edge.
        skip: From its input to its output's shape.
        weight: Coefficient of the skip.
    """

    def __init__(self, edge: nn.Module, skip: nn.Module, weight: Coefficient) -> None:
        super().__init__()
        self.edge = edge
        self.skip = skip
        self._weight = weight

    def forward(self, x: Tensor, mixing: EdgeMixing) -> Tensor | None:
        """``(n, channels, H, W)`` to the edge's output and the skip's; None where nothing adds to it."""
        mixed: Tensor | None = self.edge(x, mixing)
        weight = self._weight_at(mixing.progress)
        if weight == 0 or not any(mixing.alive):
            return mixed
        added: Tensor = weight * self.skip(x)
        return added if mixed is None else mixed + added

    def _weight_at(self, fraction: float) -> float:
        if isinstance(self._weight, Linear | Cosine):
            return self._weight.at_fraction(fraction)
        return float(self._weight)  # type: ignore[arg-type]  # a ramp was refused


class IdentityConvolution(nn.Conv2d):
    """A 1x1 convolution whose first weights are the identity.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1, bias=False)

    def first_weights(self) -> None:
        """See ``raynas.supernets.initialization.materialize``."""
        with torch.no_grad():
            self.weight.copy_(torch.eye(self.out_channels)[:, :, None, None])
