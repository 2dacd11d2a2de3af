"""Tune's callbacks into the run: results, checkpoints, losses and ends."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ray.tune import Callback, Checkpoint
from ray.tune.experiment import Trial
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from raynas.storage import Folder, remove
from raynas.tune.bridge import Bridge
from raynas.tune.trainable import ASSIGNMENTS

_log = logging.getLogger(__name__)


class Recorder(Callback):
    """Tells the run what Tune says, and removes checkpoints that nobody needs any more.

    Args:
        bridge: To the run.
        folder: The run's folder.
        keep_checkpoints: Whether those of ended trials stay.
    """

    def __init__(self, bridge: Bridge, folder: Folder, *, keep_checkpoints: bool) -> None:
        self._bridge = bridge
        self._folder = folder
        self._keep = keep_checkpoints

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Rests a little while nothing runs; Tune's loop would spin."""
        if self._bridge.run.live == 0:
            time.sleep(0.005)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Records results that no scheduler was asked about: the last ones."""
        if result.get(DONE):
            self._bridge.result(result)
        if trial.is_saving:
            result[SHOULD_CHECKPOINT] = False  # a scheduler of Ray's has asked for it, too

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: Checkpoint, **info: Any
    ) -> None:
        """Records where a checkpoint lies, then removes the one before it."""
        previous = self._bridge.checkpoint(trial.last_result, path_in(self._folder, checkpoint))
        self._discard([] if previous is None else [previous])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Forgets a trial that ended as it should."""
        self._end(trial)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Notes that a trial whose worker was lost starts again."""
        left = self._bridge.retried(trial.trial_id)
        if left:
            trial.config[ASSIGNMENTS] = pickle.dumps(left)  # what it has finished is not evaluated again

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Records the failure of a trial whose worker was lost more often than it may be."""
        text = _error_text(trial)
        last = text.strip().rpartition("\n")[2] or "no reason is known"
        self._bridge.lost(trial.trial_id, f"worker lost: {last}", text)
        self._end(trial)

    def _end(self, trial: Trial) -> None:
        left = self._bridge.ended(trial.trial_id)
        self._discard([] if self._keep else left)

    def _discard(self, replaced: Iterable[str]) -> None:
        discard(self._folder, self._bridge.unneeded(replaced, keep_last=self._keep))


def path_in(folder: Folder, checkpoint: Checkpoint) -> str:
    """Path of a checkpoint relative to the run's folder."""
    path: str = checkpoint.path
    return path.removeprefix(folder.root).lstrip("/")


def discard(folder: Folder, checkpoints: Iterable[str]) -> None:
    """Removes checkpoints that nobody needs any more; one that cannot be is left there, with a warning.

    Args:
        folder: The run's.
        checkpoints: Paths relative to it.
    """
    for path in checkpoints:
        try:
            remove(folder, path)
        except OSError as error:
            _log.warning("%s/%s could not be removed: %s", folder.uri, path, error)


def _error_text(trial: Trial) -> str:
    """What Tune wrote of a trial's last error; it lies in Tune's staging folder of this machine."""
    try:
        return Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
    except OSError:
        return ""
