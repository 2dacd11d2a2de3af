"""Pieces of a study's work, one after the other or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from typing import TypeVar

from raynas.studies._pieces import NOTHING_KEPT, Pieces

Task = TypeVar("Task")
Done = TypeVar("Done")


@contextmanager
def finished(
    work: Callable[[Task], Done], tasks: Sequence[Task], *, processes: int, pieces: Pieces = NOTHING_KEPT
) -> Iterator[Iterator[Done]]:
    """What becomes of some tasks, as they end; leaving the block drops those not yet begun.

    Args:
        work: A function at the top of a module, which worker processes can find.
        tasks: What it is called with.
        processes: How many tasks at a time; 1 takes them in their order, in this process.
        pieces: Keeps what becomes of each.
    """
    with closing(_each(work, tasks, processes, pieces)) as done:
        yield done


def _each(
    work: Callable[[Task], Done], tasks: Sequence[Task], processes: int, pieces: Pieces
) -> Generator[Done, None, None]:
    if processes == 1:
        for task in tasks:
            result = work(task)
            pieces.keep(task, result)
            yield result
        return
    # Fresh processes: a fork would take over the locks of PyTorch's threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)
    try:
        of = {pool.submit(work, task): task for task in tasks}
        for future in as_completed(of):
            result = future.result()
            pieces.keep(of[future], result)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this worker with its parent: one that is killed tells nobody, and workers would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
