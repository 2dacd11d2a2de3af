"""Tune asks a searcher; this one asks the run."""

from __future__ import annotations

import pickle
from typing import Any

from ray.tune.search import Searcher

from raynas.tune.bridge import Bridge
from raynas.tune.trainable import ASSIGNMENTS


class SearcherAdaptor(Searcher):
    """Hands the run's proposals to Tune; what comes of them reaches the run through ``Recorder``.

    Args:
        bridge: To the run.
    """

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The configuration of the next trial; None for now, ``FINISHED`` for good."""
        assignments = self._bridge.assign(trial_id)
        if assignments:
            return {ASSIGNMENTS: pickle.dumps(assignments)}
        finished: str = Searcher.FINISHED
        return finished if self._bridge.exhausted else None

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Nothing: a trial's end is recorded with its last result."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the journal is the run's only memory."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing; see ``save_to_dir``."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing; a run is resumed from its journal."""
