"""Passes through a network that are captured when they recur, and from then on replayed.

A forward and backward pass of a supernet is thousands of small kernels, which a GPU finishes faster than
Python launches them. Captured as a CUDA graph they are launched as one. A graph does again what was done when
it was captured: it reads and writes the same memory, and whatever Python decided then stays decided. So
inputs are copied into place and outputs out of it, and a pass has a key of all that Python looked at.

A note on design choices: a pass is captured whole, its derivatives with it, where
``torch.cuda.make_graphed_callables`` captures forward and backward apart. Two losses may then be taken before
either is differentiated, which with two graphs would give the first the second's gradient without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from raynas.supernets.draws import draws_at_random

_log = logging.getLogger(__name__)


class Captured(Protocol):
    """A piece of work that can be done again on the same memory."""

    @property
    def outputs(self) -> Sequence[Tensor]:
        """Where its outputs lie; of no value before the first replay and after any other graph's."""
        ...

    def replay(self) -> None:
        """Does the work."""
        ...

    def drop(self) -> None:
        """Gives the memory back; there is no replay after it."""
        ...


class Capturer(Protocol):
    """What captures."""

    def warm_up(self, work: Callable[[], object]) -> None:
        """Does the work a few times, after which none of it is done for the first time."""
        ...

    def captured(self, work: Callable[[], Sequence[Tensor]]) -> Captured:
        """Captures a piece of work.

        Args:
            work: Gives its outputs, outside any graph of autograd.
        """
        ...


@dataclass(frozen=True, eq=False)
class Pass:
    """A pass that is to be taken.

    Attributes:
        role: What it is for; of each role one graph is kept.
        key: All that it hangs on but for its inputs and the weights and buffers of the network.
        inputs: What changes from one pass to the next; ``work`` gets tensors like them.
        work: Gives the outputs, outside any graph of autograd; a function of the inputs.
        buffers: Gives what the work writes to, running statistics.
    """

    role: str
    key: Hashable
    inputs: Sequence[Tensor]
    work: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    buffers: Callable[[], Sequence[Tensor]]

    def signature(self) -> Hashable:
        """What two passes have in common of which one's graph does the other."""
        return (self.key, *((tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in self.inputs))


class Graphs:
    """Graphs of recurring passes.

    A pass is captured when its signature has been met ``after`` times in succession, among those of its role,
    and comes again: a smaller last batch never is. The first time that something cannot be captured, or draws
    at random, it is logged, and nothing is captured any more.

    Args:
        capturer: What captures.
        after: How often a pass is met before it is captured.
    """

    def __init__(self, capturer: Capturer, *, after: int = 3) -> None:
        self._capturer: Capturer | None = capturer
        self._after = after
        self._roles: dict[str, _Role] = {}

    def outputs(self, due: Pass) -> list[Tensor] | None:
        """The outputs of a pass, in memory of their own; None where it is still to be taken as it is."""
        if self._capturer is None:
            return None
        role, signature = self._roles.setdefault(due.role, _Role()), due.signature()
        recurs = role.recurs(signature, self._after)
        if role.graph is None or role.graph.signature != signature:
            if not recurs:
                return None
            role.drop()
            role.graph = self._graph(self._capturer, due, signature)
        return None if role.graph is None else role.graph.outputs(due.inputs)

    def forget(self) -> None:
        """Drops all graphs: what they were captured for, or the tensors that they work on, are no more."""
        for role in self._roles.values():
            role.drop()
        self._roles.clear()

    def _graph(self, capturer: Capturer, due: Pass, signature: Hashable) -> _Graph | None:
        buffers = due.buffers()
        before = [buffer.clone() for buffer in buffers]
        try:
            return _Graph(signature, *_captured(capturer, due))
        except Exception as error:  # whatever it is, the pass as it is either works or says so itself
            self.forget()
            self._capturer = None
            _log.warning(
                "cuda_graphs: a pass of the %s cannot be captured (%s); "
                "the search goes on without graphs and computes the same, only slower",
                due.role,
                _reasons(error),
            )
            return None
        finally:  # as if no pass had been taken
            for buffer, values in zip(buffers, before, strict=True):
                buffer.copy_(values)


@dataclass(frozen=True, eq=False)
class _Graph:
    signature: Hashable
    places: Sequence[Tensor]
    captured: Captured

    def outputs(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            for place, tensor in zip(self.places, inputs, strict=True):
                place.copy_(tensor)
            self.captured.replay()
            return _copies(self.captured.outputs)


@dataclass(eq=False)
class _Role:
    """The graph of a role, and what was met last."""

    graph: _Graph | None = None
    met: Hashable = None
    times: int = 0

    def recurs(self, signature: Hashable, after: int) -> bool:
        self.times = self.times + 1 if signature == self.met else 1
        self.met = signature
        return self.times > after

    def drop(self) -> None:
        if self.graph is not None:
            self.graph.captured.drop()
        self.graph = None


def _captured(capturer: Capturer, due: Pass) -> tuple[list[Tensor], Captured]:
    """The places of a pass's inputs, and its graph.

    Raises:
        RuntimeError: The pass draws at random.
    """
    places = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in due.inputs]

    def work() -> Sequence[Tensor]:
        return due.work(places)

    # torch has a replay draw from the generator as it is by then, but nothing here relies on that
    if draws_at_random(lambda: capturer.warm_up(work), places[0].device):
        raise RuntimeError("it draws at random")
    return places, capturer.captured(work)


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies in one launch for each format."""
    made = [torch.empty_like(tensor) for tensor in tensors]
    for dtype in {tensor.dtype for tensor in tensors}:
        alike = [at for at, tensor in enumerate(tensors) if tensor.dtype == dtype]
        torch._foreach_copy_([made[at] for at in alike], [tensors[at] for at in alike])
    return made


def _reasons(error: BaseException | None) -> str:
    """An error and what it followed: a capture that is broken off fails again at its end."""
    found = []
    while error is not None:
        found.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        error = error.__context__
    return ", after ".join(found)
