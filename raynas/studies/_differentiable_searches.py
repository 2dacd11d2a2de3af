"""The searches of the study: each preset with each seed to its end, in plain loops or worker processes.

A rule that ends a search by its validation loss moves nothing in the search. So that trajectories are of one
length, a search goes on to its last epoch, and the rule is asked afterwards what it would have answered, and
when. A rule that takes measures of its own (DARTS-ES) ends its search itself.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raynas.search.asktell import Proposal
from raynas.studies._differentiable_presets import method_of
from raynas.studies._pieces import NOTHING_KEPT, Pieces
from raynas.studies._workers import finished
from raynas.trial import Diverged

if TYPE_CHECKING:
    from raynas.config import Experiment
    from raynas.studies import Progress
    from raynas.studies._differentiable_presets import Preset


@dataclass(frozen=True)
class Task:
    """One search to be done.

    Attributes:
        preset: Its name.
        experiment: With its seed.
    """

    preset: str
    experiment: Experiment


@dataclass(frozen=True)
class Search:
    """One search that is over.

    Attributes:
        preset: Its name.
        seed: Its seed.
        trail: Architecture before the first epoch and after each, of the greatest weights at that moment.
        reports: Metrics of each epoch; ``seconds`` on the clock and ``cpu_s`` of the processor with them.
        answer: Place in the trail of the architecture that the search answers with.
        ended: Epochs after which its rule ends it; all where it has none.
        failure: Why it broke off; empty if it did not.
    """

    preset: str
    seed: int
    trail: tuple[str, ...]
    reports: tuple[dict[str, float], ...]
    answer: int
    ended: int
    failure: str = ""


def search(task: Task) -> Search:
    """One search, from the beginning to its last epoch; a divergence is written down."""
    experiment = task.experiment
    method = method_of(experiment)
    rule = method.stopping
    replayed = rule is not None and not hasattr(rule, "every")
    if replayed:
        endless = dataclasses.replace(method, stopping=None)
        experiment = dataclasses.replace(experiment, method=endless)
    under_way = experiment.workload.start(experiment.trial(Proposal(0, None)))
    reports: list[dict[str, float]] = []
    failure = ""
    while not under_way.done and not failure:
        started = time.process_time()
        try:
            made = under_way.step()
        except Diverged as error:
            failure = str(error)
        else:
            spent = {"seconds": made.cost_s, "cpu_s": time.process_time() - started}
            reports.append({**made.metrics, **spent})
    state = under_way.state_dict()
    answer, ended = state["stop"], len(reports)
    if replayed:
        losses = [report["valid_loss"] for report in reports]
        answer, ended = end(rule, losses, epochs=method.epochs)
    return Search(
        preset=task.preset,
        seed=experiment.seed,
        trail=tuple(state["trail"]),
        reports=tuple(reports),
        answer=len(reports) if answer is None else answer,
        ended=ended,
        failure=failure,
    )


def _read(trail: list[str], reports: list[dict[str, float]], **others: Any) -> Search:
    return Search(trail=tuple(trail), reports=tuple(reports), **others)


def end(rule: Any, losses: Sequence[float], *, epochs: int) -> tuple[int | None, int]:
    """What a rule makes of a search that went on without it.

    Args:
        rule: See ``raynas.differentiable.slots.Stopping``.
        losses: ``(n,)`` validation losses in nats, those of tuning last.
        epochs: Of the search, without those of tuning.

    Returns:
        Epochs after which the architecture was the answer's (None: the last), and epochs until the end.
    """
    from raynas.differentiable.slots import Record

    history = [Record(loss) for loss in losses[:epochs]]
    for n in range(1, len(history) + 1):
        if (stop := rule.stop(history[:n])) is not None:
            return stop.epoch, n
    last = rule.final(history) if len(losses) == epochs else None
    return (None if last is None else last.epoch), len(losses)


def search_all(
    presets: Sequence[Preset],
    seeds: Sequence[int],
    *,
    processes: int,
    progress: Progress,
    pieces: Pieces = NOTHING_KEPT,
) -> list[Search]:
    """Every preset with every seed.

    Args:
        presets: What to run.
        seeds: Searches of one seed share their random numbers.
        processes: How many at a time.
        progress: Told of every search that is over.
        pieces: Keeps those that are.

    Returns:
        In the order of the presets, then of the seeds.
    """
    tasks = [
        Task(preset.name, dataclasses.replace(preset.experiment, seed=seed))
        for seed in seeds  # outermost, so that what is done tells how long the rest will take
        for preset in presets
    ]
    kept, to_do = pieces.split(tasks, _read)
    if kept:
        progress(f"{len(kept)} of {len(tasks)} searches are there from before")
    began = time.monotonic()
    found: dict[tuple[str, int], Search] = {(one.preset, one.seed): one for one in kept}
    with finished(search, to_do, processes=processes, pieces=pieces) as done:
        for one in done:
            found[one.preset, one.seed] = one
            left = (time.monotonic() - began) / (len(found) - len(kept)) * (len(tasks) - len(found))
            how = f"broke off: {one.failure}" if one.failure else f"{len(one.reports)} epochs"
            progress(
                f"{len(found)} of {len(tasks)}: {one.preset}, seed {one.seed}: {how}; "
                f"about {left / 60:.0f} minutes left"
            )
    return [found[preset.name, seed] for preset in presets for seed in seeds]
