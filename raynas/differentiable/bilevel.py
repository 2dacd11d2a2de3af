"""The bilevel loop: an alpha-step on a validation batch, a w-step on a training batch, and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from raynas.data.batches import Batch, EvaluationBatches, RandomBatches, TrainingBatches
from raynas.data.device import DeviceDataset
from raynas.data.images import UNCHANGED
from raynas.differentiable.arch_step import ArchStep
from raynas.differentiable.graphed_losses import GraphedLosses
from raynas.differentiable.graphs import Capturer, Graphs
from raynas.differentiable.losses import Losses, Tally
from raynas.differentiable.parameters import detached, logits
from raynas.differentiable.relaxation.softmax import masked_softmax
from raynas.differentiable.relaxing import Relaxer, with_edges
from raynas.differentiable.schedule import Progress
from raynas.differentiable.slots import Evaluation
from raynas.differentiable.weight_step import WeightStep
from raynas.seeding import derive
from raynas.supernets.layout import Alive, Layout
from raynas.supernets.mixing import Mixing, Theta
from raynas.supernets.statistics import untracked
from raynas.supernets.supernet import Supernet

if TYPE_CHECKING:
    from raynas.differentiable.method import Method


class Bilevel:
    """Network weights, architecture parameters and the two steps that move them, an epoch at a time.

    All random numbers come from streams of one seed; those of a step hang on its epoch and number alone.

    Args:
        method: The search.
        supernet: With fresh weights, on its device.
        data: On the same device.
        seed: Of everything random.
        precision: See ``raynas.supernets.precision``.
        max_batches: Batches that an epoch and an evaluation end with; None: all.
        eval_batch_size: Images a batch of an evaluation.
        capturer: What captures passes that recur; None: nothing is captured.

    Attributes:
        alpha: Architecture parameters.
        alive: What still counts.
    """

    def __init__(
        self,
        method: Method,
        supernet: Supernet,
        data: DeviceDataset,
        *,
        seed: int,
        precision: str = "float32",
        max_batches: int | None = None,
        eval_batch_size: int = 512,
        capturer: Capturer | None = None,
    ) -> None:
        self._method, self._data, self._seed = method, data, seed
        self._max_batches, self._eval_batch_size = max_batches, eval_batch_size
        self._channels_divisor: int | None = None
        self._last_valid: Batch | None = None
        # convolutions of few channels are up to twice as fast so, on CPUs too
        self.supernet = supernet.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.layout: Layout = supernet.layout
        self.alive: Alive = self.layout.all_alive()
        self._losses = (
            Losses(supernet, precision)
            if capturer is None
            else GraphedLosses(supernet, precision, graphs=Graphs(capturer))
        )
        self._relaxer = Relaxer(method.relaxation, self.layout)
        self._weights = WeightStep(method, self._losses)
        self._arch = ArchStep(
            method,
            self._losses,
            self._relaxer,
            seed=derive(seed, "alpha"),
            device=str(data.train.device),
        )
        augmentation = data.augmentation
        self._train_batches = TrainingBatches(
            data.train,
            batch_size=method.batch_size,
            order_seed=derive(seed, "order"),
            augmentation=augmentation,
            augmentation_seed=derive(seed, "augmentation"),
        )
        self._valid_batches = RandomBatches(
            data.valid,
            batch_size=method.batch_size,
            seed=derive(seed, "valid"),
            augmentation=augmentation if method.augment_valid else UNCHANGED,
            augmentation_seed=derive(seed, "valid_augmentation"),
        )

    @property
    def alpha(self) -> dict[str, Tensor]:
        """Architecture parameters."""
        return self._arch.alpha

    def restart_weights(self) -> None:
        """A fresh optimiser of the network's weights."""
        self._weights.restart()

    def train(self, progress: Progress, epoch: int, *, lr: float, rest: bool) -> tuple[float, float]:
        """One epoch.

        Args:
            progress: How far the search is.
            epoch: Number of this epoch, those of tuning included; names its random draws.
            lr: Learning rate of the weights.
            rest: Whether the architecture parameters stay as they are.

        Returns:
            Mean loss and accuracy of the w-steps' training batches, in percent.
        """
        self._weights.lr = lr
        n_steps = len(self._train_batches)
        if self._max_batches is not None:
            n_steps = min(n_steps, self._max_batches)
        tally = Tally(self._data.train.device)
        pairs = zip(islice(self._train_batches, n_steps), self._valid_batches.take(n_steps), strict=True)
        for step, (train, valid) in enumerate(pairs):
            turns = [] if rest else [self._arch_turn]
            turns.insert(len(turns) if self._method.order == "alpha_first" else 0, self._weight_turn)
            for turn in turns:
                turn(train, valid, progress, (epoch, step), tally)
            self._last_valid = valid
        return tally.means()

    def evaluate(self, progress: Progress, epoch: int) -> Evaluation:
        """The supernet on the whole validation split, unaugmented, by its running statistics.

        Args:
            progress: How far the search is.
            epoch: Names the random draws.
        """
        tally = Tally(self._data.valid.device)
        with self._losses.evaluating(), torch.no_grad():
            for number, batch in enumerate(self._evaluation_batches()):
                draw = self._generator("evaluation", epoch, number)
                mixing = self._relaxer.mixing(self.alpha, self.alive, progress, draw, evaluating=True)
                seed = derive(self._seed, "evaluation_operations", epoch, number)
                tally.add(*self._losses.of(batch, mixing, seed), batch[1])
        return Evaluation(*tally.means())

    def evaluate_with(self, theta: Theta, alive: Alive, progress: Progress) -> Evaluation:
        """The supernet on the whole validation split under other mixing weights, by each batch's statistics.

        Args:
            theta: Mixing weights; edge weights stay as they are.
            alive: What is computed.
            progress: How far the search is.
        """
        mixing = Mixing(theta, alive, self._relaxer.edge_weights(detached(self.alpha)), progress.fraction)
        tally = Tally(self._data.valid.device)
        with torch.no_grad(), untracked(self.supernet):
            for number, batch in enumerate(self._evaluation_batches()):
                # the same draws for whatever is compared
                tally.add(*self._losses.of(batch, mixing, derive(self._seed, "decision", number)), batch[1])
        return Evaluation(*tally.means())

    def theta(self, *, edges: bool = False) -> dict[str, Tensor]:
        """Softmax of the logits over what is alive, outside any graph.

        Args:
            edges: Whether to multiply edge weights in, as architectures are derived by.
        """
        with torch.no_grad():
            softened = {
                kind: masked_softmax(rows, self.alive[kind]) for kind, rows in logits(self.alpha).items()
            }
            return with_edges(softened, self._relaxer.edge_weights(self.alpha)) if edges else softened

    def diagnostics(self) -> dict[str, float]:
        """Mean entropy of the rows of theta in nats, and the mean weight of the skip connection."""
        theta, skips = self.theta(), self.layout.columns_of("skip_connect")
        entropies = [torch.special.entr(rows).sum(1) for rows in theta.values()]
        shares = [
            (rows * torch.as_tensor(skips[kind], device=rows.device)).sum(1) for kind, rows in theta.items()
        ]
        return {
            "theta_entropy": float(torch.cat(entropies).mean()),
            "skip_share": float(torch.cat(shares).mean()),
        }

    def narrow(self, alive: Alive) -> None:
        """Gives operations up.

        Args:
            alive: What is left.

        Raises:
            ValueError: It holds what was given up before.
        """
        for kind, rows in self.alive.items():
            if (alive[kind] & ~rows).any():
                raise ValueError(f"a decision brings back operations of kind '{kind}' that were given up")
        self.alive = dict(alive)
        self._losses.forget()

    def widen(self, k: int, *names: str | int) -> None:
        """Gives the operations of partial channels a ``1 / k`` share.

        Args:
            k: Of how many channels one is given to the operations.
            names: Of the random draw.
        """
        self._losses.forget()  # the weights are about to be other tensors
        self._weights.widen(k, self._generator(*names))
        self._channels_divisor = k

    def hessian_eigenvalue(self, progress: Progress, epoch: int) -> float:
        """The greatest eigenvalue of the Hessian by the logits, on the last validation batch of the epoch.

        Raises:
            RuntimeError: No epoch has been trained since the search was started or loaded.
        """
        if self._last_valid is None:
            raise RuntimeError("no epoch has been trained, so there is no batch to take the Hessian on")
        seed = derive(self._seed, "hessian", epoch)
        return self._arch.hessian_eigenvalue(self._last_valid, self.alive, progress, seed)

    def grow_batches(self, by: int) -> None:
        """Makes training and validation batches larger."""
        self._train_batches.batch_size += by
        self._valid_batches.batch_size += by
        self._losses.forget()

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU of all that changes."""
        return {
            "arch": self._arch.state_dict(),
            "weights": self._weights.state_dict(),
            "alive": {kind: rows.tolist() for kind, rows in self.alive.items()},
            "channels_divisor": self._channels_divisor,
            "batch_size": self._train_batches.batch_size,
            "train_batches": self._train_batches.state_dict(),
            "valid_batches": self._valid_batches.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken."""
        self._losses.forget()
        if state["channels_divisor"] != self._channels_divisor:
            self.widen(state["channels_divisor"], "loaded")
        self._weights.load_state_dict(state["weights"])
        self._arch.load_state_dict(state["arch"])
        self.alive = {kind: np.array(rows, bool) for kind, rows in state["alive"].items()}
        self.grow_batches(state["batch_size"] - self._train_batches.batch_size)
        self._train_batches.load_state_dict(state["train_batches"])
        self._valid_batches.load_state_dict(state["valid_batches"])

    def _arch_turn(
        self, train: Batch, valid: Batch, progress: Progress, names: tuple[int, int], tally: Tally
    ) -> None:
        seed = derive(self._seed, "arch_step", *names)
        self._arch.take(train, valid, self.alive, progress, seed, self._weights)

    def _weight_turn(
        self, train: Batch, valid: Batch, progress: Progress, names: tuple[int, int], tally: Tally
    ) -> None:
        seed = derive(self._seed, "weight_step", *names)
        draw = torch.Generator().manual_seed(derive(seed, "relaxation"))
        with torch.no_grad():
            mixing = self._relaxer.mixing(self.alpha, self.alive, progress, draw)
        self._weights.take(train, mixing, progress, seed, tally)

    def _evaluation_batches(self) -> Iterable[Batch]:
        return islice(
            EvaluationBatches(self._data.valid, batch_size=self._eval_batch_size), self._max_batches
        )

    def _generator(self, *names: str | int) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self._seed, *names))
