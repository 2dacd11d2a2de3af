"""A method's decisions at work: each is asked at its moments, and what it answers takes effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raynas.differentiable.bilevel import Bilevel
from raynas.differentiable.parameters import detached
from raynas.differentiable.schedule import Progress
from raynas.differentiable.slots import Moment, Narrowing
from raynas.seeding import derive
from raynas.supernets.snapshot import copied

if TYPE_CHECKING:
    from raynas.differentiable.method import Method


class Decider:
    """Asks decisions in the order of the method: all at the end of an epoch, one at a time while tuning.

    Args:
        method: The search.
        bilevel: What they narrow.
        seed: Of their draws.
    """

    def __init__(self, method: Method, bilevel: Bilevel, seed: int) -> None:
        self._method, self._bilevel, self._seed = method, bilevel, seed
        self._lengths = [decision.tuning_epochs(bilevel.layout) for decision in method.decision]
        self._memories: list[Mapping[str, Any]] = [{} for _ in method.decision]
        self._rests_until = 0

    @property
    def tuning_epochs(self) -> int:
        """Epochs that follow the search."""
        return sum(self._lengths)

    def rests(self, epoch: int) -> bool:
        """Whether the architecture parameters rest in an epoch."""
        return epoch < self._rests_until

    def after_epoch(self, epoch: int) -> None:
        """An epoch of the search is over.

        Args:
            epoch: How many are.
        """
        progress = Progress(epoch, self._method.epochs)
        for number in range(len(self._method.decision)):
            self._ask(number, progress, None, epoch)

    def before_tuning(self, epoch: int, progress: Progress) -> None:
        """An epoch of tuning is about to begin.

        Args:
            epoch: Number among all of them, from 0.
            progress: That of the search, which is over.
        """
        if epoch == 0:
            self._bilevel.restart_weights()
        begins = 0
        for number, length in enumerate(self._lengths):
            if begins <= epoch < begins + length:
                self._ask(number, progress, epoch - begins, self._method.epochs + epoch)
            begins += length

    def state_dict(self) -> dict[str, Any]:
        """What decisions keep in mind."""
        return {
            "memories": [copied(dict(memory)) for memory in self._memories],
            "rests_until": self._rests_until,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken."""
        self._memories = [copied(memory) for memory in state["memories"]]
        self._rests_until = state["rests_until"]

    def _ask(self, number: int, progress: Progress, tuning: int | None, epoch: int) -> None:
        bilevel = self._bilevel
        moment = Moment(
            layout=bilevel.layout,
            alpha=detached(bilevel.alpha),
            theta=bilevel.theta(),
            alive=bilevel.alive,
            epoch=progress.epoch,
            epochs=progress.epochs,
            tuning=tuning,
            memory=self._memories[number],
            evaluate=lambda theta, alive: bilevel.evaluate_with(theta, alive, progress),
            seed=derive(self._seed, "decision", number, epoch),
        )
        narrowing: Narrowing | None = self._method.decision[number].narrowed(moment)
        if narrowing is None:
            return
        self._memories[number] = narrowing.memory
        bilevel.narrow(narrowing.alive)
        if narrowing.channels_divisor is not None:
            bilevel.widen(narrowing.channels_divisor, "widening", number, epoch)
        if narrowing.rest_epochs:
            self._rests_until = epoch + narrowing.rest_epochs
        if narrowing.batch_size_step:
            bilevel.grow_batches(narrowing.batch_size_step)
