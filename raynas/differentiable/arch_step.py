"""The alpha-step: architecture parameters move by what a slot makes of a validation batch's loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raynas.data.batches import Batch
from raynas.differentiable.losses import Losses
from raynas.differentiable.objective import Move, Objective, Unrolling
from raynas.differentiable.parameters import Parameters, detached, logits
from raynas.differentiable.relaxing import Relaxer, initial
from raynas.differentiable.schedule import Progress
from raynas.differentiable.weight_step import WeightStep
from raynas.flatness.hessian import greatest_eigenvalue, hessian
from raynas.seeding import derive
from raynas.supernets.layout import Alive
from raynas.supernets.snapshot import copied

if TYPE_CHECKING:
    from raynas.differentiable.method import Method


class ArchStep:
    """Adam on architecture parameters.

    Args:
        method: The search.
        losses: Of the supernet.
        relaxer: Makes mixing weights.
        seed: Of the first parameters.
        device: Where they lie.

    Attributes:
        alpha: The parameters.
    """

    def __init__(self, method: Method, losses: Losses, relaxer: Relaxer, *, seed: int, device: str) -> None:
        self._method, self._losses, self._relaxer = method, losses, relaxer
        self.alpha = initial(
            relaxer.layout,
            scale=method.alpha.initial_scale,
            edges=any(getattr(wrapper, "edge_normalization", False) for wrapper in method.mixed_op),
            generator=torch.Generator().manual_seed(seed),
            device=device,
        )
        self._options: dict[str, Any] = {
            "lr": method.alpha.lr,
            "betas": method.alpha.betas,
            "weight_decay": method.alpha.weight_decay,
        }
        self._adam = torch.optim.Adam(
            [tensor.requires_grad_() for tensor in self.alpha.values()], **self._options
        )

    def take(
        self,
        train: Batch,
        valid: Batch,
        alive: Alive,
        progress: Progress,
        seed: int,
        weights: WeightStep,
    ) -> None:
        """One step; rows that are decided and operations that were given up keep their parameters.

        Args:
            train: Training images and labels, for gradients that look ahead.
            valid: Validation images and labels.
            alive: What still counts.
            progress: How far the search is.
            seed: Of the step's draws.
            weights: The step of the network's weights, for gradients that look ahead.
        """
        before = detached(self.alpha)
        objective = self._objective(train, valid, alive, progress, seed, weights)
        gradient = self._method.arch_gradient.gradient(before, objective)
        if gradient is None:
            return
        resting = {kind: ~rows | (rows.sum(1) < 2)[:, None] for kind, rows in alive.items()}
        kept = {kind: before[kind].clone() for kind, rows in resting.items() if rows.any()}
        for name, tensor in self.alpha.items():
            tensor.grad = gradient[name]
        self._adam.step()
        with torch.no_grad():  # Adam's decay has moved these, too
            for kind, values in kept.items():
                where = torch.as_tensor(resting[kind], device=values.device)
                self.alpha[kind].copy_(torch.where(where, values, self.alpha[kind]))

    def hessian_eigenvalue(self, batch: Batch, alive: Alive, progress: Progress, seed: int) -> float:
        """The greatest eigenvalue of the Hessian of a validation batch's loss by the logits.

        The batch's own statistics are used; the parameters' weight decay is added, as in the code of
        RobustDARTS (Zela et al., ICLR 2020).
        """

        def loss(rows: Parameters) -> Tensor:
            draw = torch.Generator().manual_seed(derive(seed, "relaxation"))
            mixing = self._relaxer.mixing({**detached(self.alpha), **rows}, alive, progress, draw)
            return self._losses.untracked(batch, mixing, derive(seed, "operations"))

        found = greatest_eigenvalue(hessian(loss, logits(self.alpha)))
        return found + self._method.alpha.weight_decay

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU of parameters and optimiser."""
        return {"alpha": copied(self.alpha), "adam": copied(self._adam.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken."""
        with torch.no_grad():
            for name, tensor in self.alpha.items():
                tensor.copy_(state["alpha"][name])
        self._adam.load_state_dict(copied(state["adam"]))  # it keeps the very tensors it is given
        self._adam.param_groups[0].update(self._options)  # not those that the state was taken under

    def _objective(
        self,
        train: Batch,
        valid: Batch,
        alive: Alive,
        progress: Progress,
        seed: int,
        weights: WeightStep,
    ) -> Objective:
        def loss_on(
            batch: Batch,
            alpha: Parameters,
            move: Move | None = None,
            of_weights: Mapping[str, Tensor] | None = None,
        ) -> Tensor:
            draw = torch.Generator().manual_seed(derive(seed, "relaxation"))
            mixing = self._relaxer.mixing(alpha, alive, progress, draw, move=move)
            draws = derive(seed, "operations")
            if of_weights is None:
                return self._losses.by_mixing(batch, mixing, draws)
            return self._losses.untracked(batch, mixing, draws, of_weights)

        def valid_loss(
            alpha: Parameters, move: Move | None = None, of_weights: Mapping[str, Tensor] | None = None
        ) -> Tensor:
            loss = loss_on(valid, alpha, move, of_weights)
            regularizer = self._method.arch_regularizer
            penalty: Tensor | None = None
            if regularizer is not None:
                penalty = regularizer.penalty(logits(alpha), alive, progress)
            return loss if penalty is None else loss + penalty

        supernet, options = self._losses.supernet, self._method.weights

        def unroll() -> Unrolling:
            return Unrolling(
                weights={name: tensor.detach() for name, tensor in supernet.named_parameters()},
                momentum=weights.momentum(),
                train_loss=lambda of_weights, alpha: loss_on(train, alpha, of_weights=of_weights),
                valid_loss=lambda of_weights, alpha: valid_loss(alpha, of_weights=of_weights),
                lr=weights.lr,
                momentum_factor=options.momentum,
                weight_decay=options.weight_decay,
            )

        return Objective(valid_loss, supernet.layout, alive, progress, seed, unroll)
