"""Every shipped differentiable search, for two epochs on digits and two of its tuning, at a small size."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from raynas import assets
from raynas.config import load, override
from raynas.differentiable.arch_gradient.frozen import Frozen
from raynas.differentiable.decision.greedy import Greedy
from raynas.differentiable.decision.stages import Stages
from raynas.search.asktell import Proposal
from raynas.spaces import get_space
from raynas.workloads.differentiable_search import DifferentiableSearch

PRESETS = [
    name
    for name in assets.names("tune_configs")
    if isinstance(load(name, here=False).workload, DifferentiableSearch)
]
SMALL = {
    # 12 channels, since partial channels take a fourth or a sixth of them
    "nas_bench_201": "{name: nas_bench_201, channels: 12, cells: 1, stages: 2}",
    "darts": "{name: darts, channels: 12, layers: 3}",
}


def small(name):
    """The preset on digits at a size of seconds; its slots are as they are."""
    shipped = load(name, here=False)
    kind = get_space(shipped.search_space).kind
    overrides = [
        *(
            f"method.decision.{at}.epochs=[1]"
            for at, decision in enumerate(shipped.method.decision)
            if isinstance(decision, Stages)
        ),
        *(
            f"method.decision.{at}.warmup=0"
            for at, decision in enumerate(shipped.method.decision)
            if isinstance(decision, Greedy)
        ),
        "dataset=digits",
        "table=null",
        "report.metric=valid_accuracy_pct",
        f"workload.skeleton={SMALL[kind]}",
        "workload.max_batches=1",
        "workload.eval_batch_size=16",
        "method.epochs=2",
        "method.warmup_epochs=0",
        "method.batch_size=8",
        "tune.resources={cpu: 1, gpu: 0}",
    ]
    return load(name, [override(text) for text in overrides])


@pytest.mark.parametrize("name", PRESETS)
def test_it_searches_and_derives_an_architecture(name):
    experiment = small(name)
    space = get_space(experiment.search_space)
    search = experiment.workload.start(experiment.trial(Proposal(0, None)))
    before = {key: tensor.detach().clone() for key, tensor in search._bilevel.alpha.items()}
    for epoch in range(1, 5):
        report = search.step()
        assert report.epoch == epoch
        assert all(math.isfinite(value) for value in report.metrics.values())
        assert str(space.parse(report.architecture)) == report.architecture
        if search.done:
            break
    assert epoch == 2 or experiment.method.decision
    rests = isinstance(experiment.method.arch_gradient, Frozen)
    for key, tensor in search._bilevel.alpha.items():
        assert rests == torch.equal(tensor, before[key]), key


def test_the_names_say_what_the_presets_are():
    plain = {name for name in PRESETS if not name.startswith("a2m")}
    for name in PRESETS:
        if name.startswith("a2m_") and not {"sweep", "pbt"} & set(name.split("_")):
            of = name.removeprefix("a2m_")
            partner = of if of in plain else f"darts_{of}"
            made, other = load(name, here=False), load(partner, here=False)
            same = dataclasses.replace(
                made.method,
                arch_gradient=other.method.arch_gradient,
                stopping=other.method.stopping,
            )
            assert same == other.method, f"{name} differs from {partner} in more than A2M"
