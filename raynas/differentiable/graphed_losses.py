"""Losses whose passes are captured when they recur; see ``raynas.differentiable.graphs``.

Captured are the w-step's pass and those of the alpha-step at the weights as they are. All else is computed as
without graphs: evaluations, passes at other weights (second order), what regularizes the weights, and second
derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from raynas.data.batches import Batch
from raynas.differentiable.graphs import Graphs, Pass
from raynas.differentiable.losses import Losses
from raynas.supernets.mixing import Mixing
from raynas.supernets.statistics import untracked


@dataclass(frozen=True)
class GraphedLosses(Losses):
    """As ``Losses``, faster where launching kernels takes longer than computing them.

    Attributes:
        graphs: What is captured.
    """

    graphs: Graphs = field(kw_only=True)

    def by_mixing(self, batch: Batch, mixing: Mixing, seed: int) -> Tensor:
        differentiable = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in _numbers(mixing))

        def work(inputs: Sequence[Tensor]) -> list[Tensor]:
            with untracked(self.supernet), torch.set_grad_enabled(differentiable):
                loss, _ = self.passed(_batch(inputs), _like(mixing, inputs[2:]), self._leaves())
            leaves = [tensor for tensor in inputs if differentiable and tensor.requires_grad]
            return [loss.detach(), *(_derivatives(loss, leaves) if leaves else ())]

        found = self._outputs("alpha-step" if differentiable else "alpha-step's loss", batch, mixing, work)
        if found is None:
            return super().by_mixing(batch, mixing, seed)
        loss, *gradients = found
        if not differentiable:
            return loss
        leaves = [tensor for tensor in _numbers(mixing) if tensor.requires_grad]

        def again(values: Sequence[Tensor]) -> Tensor:
            given = iter(values)
            numbers = [next(given) if tensor.requires_grad else tensor for tensor in _numbers(mixing)]
            return self.untracked(batch, _like(mixing, numbers), seed)

        made: Tensor = _Known.apply((loss, gradients, again), *leaves)  # type: ignore[no-untyped-call]
        return made

    def by_weights(
        self, batch: Batch, mixing: Mixing, seed: int, weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        def work(inputs: Sequence[Tensor]) -> list[Tensor]:
            leaves = {name: tensor.requires_grad_() for name, tensor in self._leaves().items()}
            with torch.enable_grad():
                loss, logits = self.passed(_batch(inputs), _like(mixing, inputs[2:]), leaves)
            return [loss.detach(), logits.detach(), *_derivatives(loss, list(leaves.values()))]

        found = self._outputs("w-step", batch, mixing, work)
        if found is None:
            return super().by_weights(batch, mixing, seed, weights)
        loss, logits, *gradients = found
        return loss, logits, gradients

    def forget(self) -> None:
        self.graphs.forget()

    def _outputs(
        self,
        role: str,
        batch: Batch,
        mixing: Mixing,
        work: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    ) -> list[Tensor] | None:
        # operations that are drawn anew are seldom the same twice; evaluation is not captured
        if mixing.dead_as_numbers or not self.supernet.training:
            return None
        images, labels = batch
        inputs = [images.contiguous(memory_format=torch.channels_last), labels, *_numbers(mixing)]
        return self.graphs.outputs(
            Pass(role, self._key(mixing), inputs, work, lambda: list(self.supernet.buffers()))
        )

    def _key(self, mixing: Mixing) -> Hashable:
        """All of a mixing but its tensors."""
        alive = tuple((kind, rows.shape, rows.tobytes()) for kind, rows in mixing.alive.items())
        progress = mixing.progress if self._reads_progress else None
        return tuple(mixing.weights), tuple(mixing.edge_weights), alive, progress

    @cached_property
    def _reads_progress(self) -> bool:
        return self.supernet.reads_progress

    def _leaves(self) -> dict[str, Tensor]:
        """The network's weights in the same memory, of which autograd knows nothing outside the pass."""
        return {name: tensor.detach() for name, tensor in self.supernet.named_parameters()}


class _Known(torch.autograd.Function):
    """A number whose derivatives are known; where these are to be differentiated, it is computed again."""

    @staticmethod
    def forward(ctx: Any, known: tuple[Tensor, Sequence[Tensor], Any], *inputs: Tensor) -> Tensor:
        """Args: the number, its derivatives and the function; what it is differentiated by."""
        number, ctx.derivatives, ctx.again = known
        ctx.save_for_backward(*inputs)
        return number

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return None, *(upstream * derivative for derivative in ctx.derivatives)
        inputs = ctx.saved_tensors
        found = torch.autograd.grad(
            ctx.again(inputs), inputs, upstream, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return None, *found


def _numbers(mixing: Mixing) -> list[Tensor]:
    return [*mixing.weights.values(), *mixing.edge_weights.values()]


def _like(mixing: Mixing, numbers: Sequence[Tensor]) -> Mixing:
    """The mixing with other numbers."""
    split = len(mixing.weights)
    return replace(
        mixing,
        weights=_named(mixing.weights, numbers[:split]),
        edge_weights=_named(mixing.edge_weights, numbers[split:]),
    )


def _named(names: Mapping[str, Any], tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return dict(zip(names, tensors, strict=True))


def _batch(inputs: Sequence[Tensor]) -> Batch:
    images, labels, *_ = inputs
    return images, labels


def _derivatives(loss: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
