"""One Ray cluster of two CPUs for all tests of the Ray layer, and a way to run configurations on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from raynas import journal, results
from raynas.config import load_text, override
from raynas.search.run import Run
from raynas.storage import LocalFolder
from raynas.tune import running

CONFIG = """\
search_space: nas_bench_201
workload: {name: "toy:Instant"}
searcher: {name: random_search, n_proposals: 8}
report: {metric: valid_accuracy_pct}
"""


@pytest.fixture(scope="session")
def two_cpus() -> Iterator[None]:
    """A cluster of two CPUs."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def run(two_cpus: None, tmp_path: Path) -> Callable[..., tuple[Run, LocalFolder]]:
    """Runs a configuration with overrides; gives the run and its folder."""

    def made(*overrides: str, text: str = CONFIG, name: str = "run") -> tuple[Run, LocalFolder]:
        experiment = load_text(text, source="x.yaml", overrides=[override(item) for item in overrides])
        folder = LocalFolder(tmp_path / name)
        return running.run(experiment, folder, name=name), folder

    return made


@pytest.fixture
def content() -> Callable[[LocalFolder], Any]:
    """The result frame of a folder without what differs between two equal runs: names, times, processes."""

    def made(folder: LocalFolder) -> Any:
        frame = results.of_run(folder)
        return frame.drop(columns=["run", "time", "cost_s", "pid"], errors="ignore")

    return made


@pytest.fixture
def wait_for() -> Callable[[Path, int], None]:
    """Waits until a journal has that many lines."""

    def made(folder: Path, lines: int) -> None:
        ends_at = time.monotonic() + 180
        while time.monotonic() < ends_at:
            path = folder / journal.FILE
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                return
            time.sleep(0.02)
        raise AssertionError(
            f"no {lines} lines in three minutes: {path.read_bytes() if path.exists() else None!r}"
        )

    return made


@pytest.fixture
def kill_tree() -> Callable[[int], None]:
    """Kills a process and all that it started, as when a machine goes down."""

    def made(pid: int) -> None:
        assert pid != os.getpid()
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=20)

    return made
