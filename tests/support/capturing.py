"""A stand-in for CUDA graphs on the CPU, which can and cannot do what they can and cannot."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FROM_THE_HOST = {"_local_scalar_dense", "nonzero", "equal", "item", "masked_select", "lift_fresh"}
"""Operators that wait for the device or copy from the host's memory, which a capture refuses."""


@dataclass
class Capturer:
    """Records operators with the very tensors that they work on, and does them again on the same memory.

    Attributes:
        refused: Operators that cannot be captured.
        graphs: All that was captured, in order, those that were dropped, too.
        warmed: How many passes were taken to warm up.
    """

    refused: frozenset = frozenset(FROM_THE_HOST)
    graphs: list = field(default_factory=list)
    warmed: int = 0

    def warm_up(self, work):
        for _ in range(3):
            work()
            self.warmed += 1

    def captured(self, work):
        with _Recording(self.refused) as recording:
            outputs = work()
        assert not any(tensor.requires_grad for tensor in outputs)
        made = Graph(self, recording.calls, outputs)
        self.graphs.append(made)
        made.spoil()  # a capture computes nothing
        return made

    def alive(self):
        return [graph for graph in self.graphs if not graph.dropped]


@dataclass(eq=False)
class Graph:
    capturer: Capturer
    calls: list
    outputs: list
    replays: int = 0
    dropped: bool = False

    def replay(self):
        assert not self.dropped
        for other in self.capturer.alive():  # all share their memory
            other.spoil()
        for function, arguments, options, results in self.calls:
            again = function(*arguments, **options)
            for place, tensor in zip(results, tree_leaves(again), strict=True):
                if place is not None:
                    place.copy_(tensor)
        self.replays += 1

    def spoil(self):
        for tensor in self.outputs:
            tensor.fill_(float("nan") if tensor.is_floating_point() else -1)

    def drop(self):
        assert not self.dropped
        self.dropped = True
        self.calls.clear()


class _Recording(TorchDispatchMode):
    def __init__(self, refused):
        super().__init__()
        self.calls, self._refused = [], refused

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        options = kwargs or {}
        name = function.overloadpacket.__name__
        if name in self._refused:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        result = function(*args, **options)
        taken = {_place(tensor) for tensor in tree_leaves((args, options)) if isinstance(tensor, Tensor)}
        results = [
            tensor if isinstance(tensor, Tensor) and _place(tensor) not in taken else None  # no view of one
            for tensor in tree_leaves(result)
        ]
        self.calls.append((function, args, options, results))
        return result


def _place(tensor):
    return tensor.untyped_storage().data_ptr()
