"""A differentiable search under way: what ``DifferentiableSearch`` starts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from raynas.benchmarks import open_table
from raynas.data.device import resident
from raynas.differentiable.bilevel import Bilevel
from raynas.differentiable.cuda_graphs import cuda_graphs
from raynas.differentiable.deciding import Decider
from raynas.differentiable.derivation import derived
from raynas.differentiable.schedule import Progress
from raynas.differentiable.slots import Record, Stop
from raynas.errors import InputError, RaynasError
from raynas.search.asktell import Report
from raynas.seeding import derive
from raynas.spaces import Architecture, get_space
from raynas.supernets.cost import count_parameters
from raynas.supernets.skeleton import customary
from raynas.trial import Trial, require_finite
from raynas.workloads._peak_memory import PeakMemory
from raynas.workloads._table_accuracy import looked_up

if TYPE_CHECKING:
    from raynas.workloads.differentiable_search import DifferentiableSearch


class Searching:
    """One search on its way from random weights to an architecture.

    Args:
        settings: How to search.
        trial: By which method, on what.
    """

    def __init__(self, settings: DifferentiableSearch, trial: Trial) -> None:
        if trial.method is None or trial.dataset is None:
            lack = "method" if trial.method is None else "dataset"
            raise InputError(
                f"workload differentiable_search: the trial has no {lack}; name one in the configuration"
            )
        torch.set_num_threads(trial.n_threads)
        self._memory = PeakMemory(trial.device)
        self._settings, self._method, self._trial = settings, trial.method, trial
        space = get_space(trial.space)
        data = resident(trial.dataset, trial.device)
        skeleton = customary(settings.skeleton, space.kind)
        supernet = skeleton.supernet(
            space,
            in_channels=data.image_shape[0],
            n_classes=data.n_classes,
            generator=torch.Generator().manual_seed(derive(trial.seed, "weights")),
            wrappers=self._method.mixed_op,
        ).to(trial.device)
        self._bilevel = Bilevel(
            self._method,
            supernet,
            data,
            seed=trial.seed,
            precision=settings.precision,
            max_batches=settings.max_batches,
            eval_batch_size=settings.eval_batch_size,
            capturer=cuda_graphs(trial.device) if settings.cuda_graphs else None,
        )
        self._decider = Decider(self._method, self._bilevel, trial.seed)
        if trial.table is not None:
            open_table(trial.table)  # one that is not there is refused now, not after an epoch
        self._epoch = 0
        self._history: list[Record] = []
        self._trail: list[str] = [str(self._derived())]
        self._stop: Stop | None = None

    @property
    def done(self) -> bool:
        """Whether the last epoch is over."""
        return self._stop is not None or self._epoch >= self._n_epochs

    def step(self) -> Report:
        """One epoch of the search, or of the tuning between its decisions.

        Raises:
            Diverged: A loss is not a finite number.
        """
        if self.done:
            raise RuntimeError(f"all {self._epoch} epochs are over")
        started = time.perf_counter()
        method, epochs = self._method, self._method.epochs
        progress = Progress(min(self._epoch, epochs), epochs)
        tuning = self._epoch >= epochs
        if tuning:
            self._decider.before_tuning(self._epoch - epochs, progress)
        lr = method.weights.tuning_lr if tuning else method.weights.lr_at(self._epoch, epochs)
        rest = self._epoch < method.warmup_epochs or self._decider.rests(self._epoch)
        train_loss, train_accuracy = self._bilevel.train(progress, self._epoch, lr=lr, rest=rest)
        require_finite("train_loss", train_loss, self._epoch + 1)
        valid = self._bilevel.evaluate(progress, self._epoch)
        require_finite("valid_loss", valid.loss, self._epoch + 1)
        self._epoch += 1
        metrics = {
            "train_loss": train_loss,
            "train_accuracy_pct": train_accuracy,
            "valid_loss": valid.loss,
            "valid_accuracy_pct": valid.accuracy_pct,
            "learning_rate": lr,
            "parameters_m": count_parameters(self._bilevel.supernet) / 1e6,
            "peak_memory_mb": self._memory.mb(),
            **self._bilevel.diagnostics(),
        }
        eigenvalue = self._eigenvalue(progress)
        if eigenvalue is not None:
            metrics["hessian_eigenvalue"] = eigenvalue
        if not tuning:
            self._history.append(Record(valid.loss, eigenvalue))
            self._decider.after_epoch(self._epoch)
        self._trail.append(str(self._derived()))
        self._end_if_due(tuning)
        found = self._answer()
        metrics |= self._looked_up(found)
        return Report(metrics, self._epoch, time.perf_counter() - started, architecture=found)

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU of all that going on takes."""
        return {
            "structure": self._method.structure(),
            "epoch": self._epoch,
            "history": [[record.valid_loss, record.hessian_eigenvalue] for record in self._history],
            "trail": list(self._trail),
            "stop": None if self._stop is None else self._stop.epoch,
            "bilevel": self._bilevel.state_dict(),
            "decisions": self._decider.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken; on the same machine, bit for bit.

        The numbers of the trial's own method hold from here on, where the state was taken under others.

        Raises:
            RaynasError: The state is of another method.
        """
        known, due = state.get("structure", {}), self._method.structure()
        if other := [name for name in due if known.get(name) != due[name]]:
            raise RaynasError(
                f"the checkpoint is of another method than the trial's, with another {', '.join(other)}; "
                "start the trial anew"
            )
        self._epoch = state["epoch"]
        self._history = [Record(*entry) for entry in state["history"]]
        self._trail = list(state["trail"])
        self._stop = None if state["stop"] is None else Stop(state["stop"])
        self._decider.load_state_dict(state["decisions"])
        self._bilevel.load_state_dict(state["bilevel"])

    @property
    def _n_epochs(self) -> int:
        return int(self._method.epochs) + self._decider.tuning_epochs

    def _derived(self) -> Architecture:
        bilevel = self._bilevel
        return derived(bilevel.layout, bilevel.theta(edges=True), bilevel.alive)

    def _end_if_due(self, tuning: bool) -> None:  # noqa: FBT001
        rule = self._method.stopping
        if rule is None or tuning:
            return
        over = self._epoch == self._n_epochs
        self._stop = rule.final(self._history) if over else rule.stop(self._history)

    def _answer(self) -> str:
        return self._trail[-1 if self._stop is None else self._stop.epoch]

    def _eigenvalue(self, progress: Progress) -> float | None:
        asked = (getattr(self._method.stopping, "every", None), self._settings.hessian_every)
        if not any(every is not None and (self._epoch - 1) % every == 0 for every in asked):
            return None
        return self._bilevel.hessian_eigenvalue(progress, self._epoch)

    def _looked_up(self, found: str) -> dict[str, float]:
        if self._trial.table is None:
            return {}
        architecture = get_space(self._trial.space).parse(found)
        of = self._settings.table_dataset
        return looked_up(self._trial.table, architecture, dataset=of, prefix="derived")
