"""CUDA graphs: what ``raynas.differentiable.graphs`` captures with on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakSet

import torch
from torch import Tensor

from raynas.differentiable.graphs import Captured, Capturer

_WARM_UP_PASSES = 3  # torch.cuda.make_graphed_callables' number, for libraries that try before they choose


def cuda_graphs(device: str | torch.device) -> Capturer | None:
    """What captures on a device; None where it is no GPU."""
    return CudaCapturer(device) if torch.device(device).type == "cuda" else None


class CudaCapturer:
    """Captures on a stream of its own.

    All its graphs share their memory. That is safe since nothing of a replay is read once another has begun:
    each does its whole work from its inputs, and ``Graphs`` copies the outputs at once.

    Args:
        device: A GPU.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._living: WeakSet[_CudaGraph] = WeakSet()

    def warm_up(self, work: Callable[[], object]) -> None:
        """See ``raynas.differentiable.graphs.Capturer``."""
        with self._aside():
            for _ in range(_WARM_UP_PASSES):
                work()

    def captured(self, work: Callable[[], Sequence[Tensor]]) -> Captured:
        """See ``raynas.differentiable.graphs.Capturer``."""
        graph = torch.cuda.CUDAGraph()
        # asked of a graph that lives, since a pool ends with the last of its graphs
        pool = next((other.graph.pool() for other in self._living), None)
        with (
            self._aside(),
            # other threads of the process, such as Ray's, may use the GPU meanwhile
            torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"),
        ):
            outputs = work()
        made = _CudaGraph(graph, outputs, self._device, self._living)
        self._living.add(made)
        return made

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """On the stream, between what the current one does before and after."""
        caching = torch.is_autocast_cache_enabled()
        with torch.cuda.device(self._device):
            now = torch.cuda.current_stream()
            self._stream.wait_stream(now)
            try:
                # a cast that was cached outside a graph would be missing inside
                torch.set_autocast_cache_enabled(False)
                # torch.cuda.graph leaves its stream the current one where a capture fails; this takes it back
                with torch.cuda.stream(self._stream):
                    yield
            finally:
                torch.set_autocast_cache_enabled(caching)
                now.wait_stream(self._stream)


@dataclass(frozen=True, eq=False)
class _CudaGraph:
    graph: torch.cuda.CUDAGraph
    outputs: Sequence[Tensor]
    device: torch.device
    living: WeakSet[_CudaGraph]

    def replay(self) -> None:
        self.graph.replay()

    def drop(self) -> None:
        self.living.discard(self)
        torch.cuda.synchronize(self.device)  # the last replay may still be on its way
        self.graph.reset()
