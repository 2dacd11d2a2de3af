"""Runs whose drivers are processes of their own, to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from raynas import journal
from raynas.storage import LocalFolder

SUPPORT = str(Path(__file__).parent)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Starts ``raynas``."""
    environment = {**os.environ, "PYTHONPATH": SUPPORT}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-m", "raynas.cli", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class Driven:
    """A run that one driver begins, and others go on with.

    Args:
        place: Folder for its configuration and its files.
        text: Its configuration.

    Attributes:
        folder: The run's.
    """

    def __init__(self, place: Path, text: str) -> None:
        config = place / "driven.yaml"
        config.write_text(text)
        self.folder = LocalFolder(place / "runs" / "driven")
        self._begin = ["run", str(config), "--name", "driven", "--storage", str(place / "runs")]

    @contextmanager
    def driver(
        self, when: Callable[[bytes], bool] = lambda content: True
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A driver, as soon as the journal has come so far; killed at the end, with Ray and all its workers.

        Args:
            when: Whether the content of the journal is what is waited for.
        """
        begun = self.folder.path.exists()
        driver = start("resume", str(self.folder.path)) if begun else start(*self._begin)
        try:
            self._wait(driver, when)
            yield driver
        finally:
            if driver.poll() is None:
                kill_tree(driver.pid)
                driver.communicate()

    def kill(self, when: Callable[[bytes], bool]) -> list[dict[str, Any]]:
        """A driver is killed as soon as the journal has come so far; gives the facts in it."""
        with self.driver(when) as driver:
            assert driver.poll() is None, "it ended before it could be killed"
        return journal.read(self.folder)

    def end(self) -> str:
        """A driver brings the run to its end; gives what it says."""
        with self.driver() as driver:
            output, _ = driver.communicate(timeout=240)
        assert driver.returncode == 0, output.decode()
        return output.decode()

    def _wait(self, driver: subprocess.Popen[bytes], when: Callable[[bytes], bool]) -> None:
        path = self.folder.path / journal.FILE
        ends_at = time.monotonic() + 200
        while time.monotonic() < ends_at:
            ended = driver.poll() is not None
            content = path.read_bytes() if path.exists() else b""
            if when(content):
                return
            assert not ended, driver.communicate()[0].decode()
            time.sleep(0.02)
        raise AssertionError(f"not in the journal after 200 seconds: {content!r}")


def lines(n: int) -> Callable[[bytes], bool]:
    """Whether a journal has that many lines."""
    return lambda content: content.count(b"\n") >= n


def kill_tree(pid: int) -> None:
    """Kills a process and all that it started, as when a machine goes down."""
    assert pid != os.getpid()
    parent = psutil.Process(pid)
    family = [parent, *parent.children(recursive=True)]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=20)
