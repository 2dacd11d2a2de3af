"""What the study runs on a table, and what it leaves out since the table cannot play it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raynas.benchmarks.schema import spans
from raynas.errors import InputError
from raynas.studies import _rank_nosh_methods as made

if TYPE_CHECKING:
    from raynas.search.searcher.rank_predictor import RankPredictor
    from raynas.studies._baselines_methods import Method
    from raynas.studies._baselines_table import Material
    from raynas.studies.rank_nosh import RankNosh


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        methods: Of the comparison, RANK-NOSH first, its predictor without pausing second.
        variants: Of RANK-NOSH, by ablation.
        left_out: What was asked for and cannot be run, by its label, with the reason.
    """

    methods: list[Method]
    variants: dict[str, list[Method]]
    left_out: dict[str, str]


def planned(material: Material, options: RankNosh) -> Plan:
    """Everything that was asked for and can be run.

    Raises:
        InputError: RANK-NOSH itself cannot: there is nothing to pause by, or a level is not in the table.
    """
    last = material.last
    if last < made.ETA:
        raise InputError(f"{material.table.path}: trainings of {last} epochs are too short to pause")
    levels = options.levels or made.usual_levels(last)
    if levels[-1] != last:
        raise InputError(
            f"levels: the last is at epoch {levels[-1]}, and the table's trainings end at {last}; let the "
            f"levels end at {last}"
        )
    searcher, scheduler = made.components(options, levels)
    methods = made.compared(options, searcher, scheduler, last=last, n_most=material.table.space.size)
    if reason := _unread(methods[0], material):
        raise InputError(f"{material.table.path}: levels: RANK-NOSH {reason}; give others")
    wanted = [name for name in made.ABLATIONS if not options.ablations or name in options.ablations]
    variants = {
        name: list(made.variants(name, methods[0], searcher, scheduler))
        for name in wanted
        if options.ablation_repeats
    }
    left_out = {
        method.label: reason
        for method in [*methods, *(one for of in variants.values() for one in of)]
        if (reason := _unread(method, material))
    }
    if made.LEVEL_0 in variants:
        try:
            variants[made.LEVEL_0] = _by_proxies(methods[0], searcher, material, options)
        except InputError as error:
            left_out["level 0"] = str(error)
    return Plan(
        [method for method in methods if method.label not in left_out],
        {name: [one for one in of if one.label not in left_out] for name, of in variants.items()},
        left_out,
    )


def _by_proxies(main: Method, searcher: RankPredictor, material: Material, options: RankNosh) -> list[Method]:
    from raynas.studies._rank_nosh_level0 import level_0

    found = []
    for proxy in options.proxies:
        with_it = replace(searcher, level0=level_0(proxy, material, options))
        for _, message in with_it.problems(material.table.space):
            raise InputError(message)
        label = f"level 0 by {proxy}"
        found.append(replace(main, name=label, label=label, searcher=with_it))
    return found


def _unread(method: Method, material: Material) -> str:
    """Why a method's decisions cannot be looked up; empty if they can."""
    if not method.stops_early:
        return ""
    metric, last = material.objective.metric, material.last
    decides = method.scheduler.start(material.objective).next_decision  # type: ignore[attr-defined]
    due: list[int] = []
    while (epoch := decides(due[-1] if due else 0)) is not None and epoch < last:
        due.append(epoch)
    known = material.part.known[metric]
    if set(due) <= set(known):
        return ""
    return f"decides at epochs {made.listed(due)}, and the table knows {metric} at {spans(known)}"
