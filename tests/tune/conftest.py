"""One Ray cluster of two CPUs for all tests of the Ray layer, and a way to run configurations on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from raynas import results
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
