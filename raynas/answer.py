"""What a run has found: the architecture of its best trial so far, or of any other of its trials."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raynas import journal, results
from raynas.errors import InputError
from raynas.search.asktell import Objective
from raynas.spaces import Architecture, get_space
from raynas.storage import Folder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Origin:
    """Where an architecture comes from.

    Attributes:
        run: Name of the run.
        place: The run's folder, as it was named.
        ended: Whether the run has ended; if not, its best trial may still be another.
        metric: What the search improves.
        mode: ``max`` or ``min``.
        trial: Id of the proposal; None where no trial of the run has the architecture.
        epoch: Epochs that the trial has reported.
        score: What the search compares the trial by; None where it does not.
        n_scored: Architectures in the score; None where it is not known.
        value: The metric at the trial's last report; None where there is none.
        settings: What a sweep set in the trial, by dotted path.
        derived: Whether the trial is a search, and the architecture what it has come to by that epoch.
    """

    run: str
    place: str
    ended: bool
    metric: str
    mode: str
    trial: int | None = None
    epoch: int | None = None
    score: float | None = None
    n_scored: int | None = None
    value: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    derived: bool = False


@dataclass(frozen=True)
class Answer:
    """An architecture of a run.

    Attributes:
        architecture: What was found.
        origin: Where.
    """

    architecture: Architecture
    origin: Origin


def best(place: Folder) -> Answer:
    """The run's answer: of the trials with a score the best, of equal ones the earliest.

    As in ``Run.best``, a trial that was stopped on its way counts only while none has come to its end.

    Args:
        place: The run's folder; it may still go on, have been interrupted, or be of a simulated run.

    Raises:
        InputError: There is no run, or none of its trials has finished.
    """
    run = _Run(place)
    scored = run.last[run.last["score"].notna() & run.found.notna()]
    if not len(scored):
        advice = "the run has ended without one" if run.ended else "wait, or name one by --trial"
        raise InputError(f"{place.uri}: no trial has come to an architecture and a score; {advice}")
    cost = Objective(run.about.metric, run.about.mode).cost
    costs = {int(trial): cost(float(scored["score"][trial])) for trial in scored.index}
    return run.answer(min(costs, key=lambda trial: (trial in run.stopped, costs[trial], trial)))


def of_trial(place: Folder, trial: int) -> Answer:
    """The architecture of a trial, or what a search has derived in it by its last report.

    Args:
        place: The run's folder.
        trial: Id of the proposal.

    Raises:
        InputError: There is no run, no such trial, or no architecture in it.
    """
    run = _Run(place)
    if trial not in run.last.index:
        known = f"{run.last.index.min()} to {run.last.index.max()}" if len(run.last) else "none so far"
        raise InputError(f"{place.uri}: no result of trial {trial}; trials with results: {known}")
    if run.found.isna()[trial]:
        raise InputError(f"{place.uri}: trial {trial} has no architecture; name another")
    return run.answer(trial)


def of_architecture(place: Folder, text: str) -> Answer:
    """An architecture in the notation of the run's space, with the run's best trial of it if there is one.

    Raises:
        InputError: There is no run, or the text is not an architecture of its space.
    """
    run = _Run(place)
    architecture = get_space(run.about.space).parse(text)
    same = run.last[run.found == str(architecture)]
    if not len(same):
        return Answer(architecture, run.origin())
    ordered = same.sort_values("score", ascending=run.about.mode == "min", kind="stable")
    return run.answer(int(ordered.index[0]))


class _Run:
    """A run as its folder tells it."""

    def __init__(self, place: Folder) -> None:
        self._place = place
        simulated = results.read_simulated(place)
        records = journal.read(place) if simulated is None else []
        self.about, frame = (
            (results.header(records), results.frame(records)) if simulated is None else simulated
        )
        self.last: pd.DataFrame = frame.drop_duplicates("proposal", keep="last").set_index("proposal")
        self.found = self.last["architecture"].fillna(self.last["derived"])
        self.ended = simulated is not None or any(record["kind"] == "end" for record in records)
        self._settings = {
            record["id"]: record.get("config", {}) for record in records if record["kind"] == "proposal"
        }
        self._n_scored = {record["id"]: record.get("n") for record in records if record["kind"] == "score"}
        if simulated is None:
            decisions = (record for record in records if record["kind"] == "decision")
            self.stopped = {record["id"] for record in decisions if record["decision"] == "stop"}
        else:  # trainings from a table all end with one epoch
            self.stopped = set(self.last.index[self.last["epoch"] < self.last["epoch"].max()])

    def answer(self, trial: int) -> Answer:
        row: dict[Hashable, Any] = self.last.loc[[trial]].to_dict("records")[0]
        space = get_space(self.about.space)
        origin = self.origin(
            trial=trial,
            epoch=int(row["epoch"]),
            score=_number(row["score"]),
            n_scored=self._n_scored.get(trial),
            value=_number(row.get(self.about.metric)),
            settings=self._settings.get(trial, {}),
            derived=bool(self.last["architecture"].isna()[trial]),
        )
        return Answer(space.parse(str(self.found[trial])), origin)

    def origin(self, **of_trial: Any) -> Origin:
        about = self.about
        return Origin(about.name, self._place.uri, self.ended, about.metric, about.mode, **of_trial)


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
