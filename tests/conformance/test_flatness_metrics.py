"""The laws of every metric of a trained network."""

from __future__ import annotations

import dataclasses
import math
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import torch
from subjects import small_network, small_subject

from raynas.config.building import Builder
from raynas.flatness.metric.accuracy import Accuracy
from raynas.flatness.metric.angle import Angle
from raynas.flatness.metric.combined import Combined
from raynas.flatness.metric.flatness import Flatness
from raynas.flatness.network import TrainedNetwork
from raynas.lookup import Slot, available, build, find

SLOT = "raynas.flatness.metric"
SIGMA = (0.02, 0.05, 0.1)

# each metric on disk by its defaults, and those that have more than one way
METRICS = {name: build(SLOT, name) for name in available(SLOT)} | {
    "direct": Flatness(SIGMA, mode="direct"),
    "cumulative": Flatness(SIGMA, mode="cumulative"),
    "of_the_cells": Flatness(SIGMA, position="cells"),
    "of_its_own": Flatness(SIGMA, common=False),
    "along_the_hessian": Flatness(SIGMA, direction="hessian"),
    "three": Combined(Combined(Angle(), Accuracy(), gamma=0.1), Flatness(SIGMA)),
}

every_metric = pytest.mark.parametrize("name", METRICS)
both_formats = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@every_metric
@both_formats
def test_the_network_is_afterwards_what_it_was_bit_for_bit(name, dtype):
    network, initial, batches = small_network(dtype)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    places = {key: tensor.data_ptr() for key, tensor in network.state_dict().items()}
    began = {key: tensor.clone() for key, tensor in initial.items()}
    modes = [part.training for part in network.modules()]
    METRICS[name].measure(TrainedNetwork(network, batches, initial=initial), 0)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key
        assert tensor.data_ptr() == places[key], key
    assert all(torch.equal(tensor, began[key]) for key, tensor in initial.items())
    assert [part.training for part in network.modules()] == modes
    assert all(weight.requires_grad and weight.grad is None for weight in network.parameters())


@every_metric
@both_formats
def test_the_same_seed_measures_the_same(name, dtype):
    torch.manual_seed(1)
    first = METRICS[name].measure(small_subject(dtype), 7)
    torch.manual_seed(2)
    assert METRICS[name].measure(small_subject(dtype), 7) == first


@every_metric
def test_measuring_draws_nothing_from_the_global_random_state(name):
    subject = small_subject()
    before = torch.get_rng_state()
    METRICS[name].measure(subject, 0)
    assert torch.equal(torch.get_rng_state(), before)


@every_metric
def test_both_formats_measure_about_the_same(name):
    narrow, wide = (
        METRICS[name].measure(small_subject(dtype), 0) for dtype in (torch.float32, torch.float64)
    )
    assert narrow.value == pytest.approx(wide.value, rel=1e-2)
    for key, value in narrow.metrics.items():
        assert value == pytest.approx(wide.metrics[key], rel=1e-2), key


@every_metric
def test_it_reports_what_it_says_its_value_first_all_of_it_numbers(name):
    metric = METRICS[name]
    found = metric.measure(small_subject(), 0)
    assert set(found.metrics) == set(metric.reports)
    assert len(metric.reports) == len(set(metric.reports))
    assert found.metrics[metric.reports[0]] == found.value
    assert all(type(value) is float and math.isfinite(value) for value in found.metrics.values())
    assert type(found.value) is type(found.share) is float
    assert found.share >= 0


@every_metric
def test_a_network_that_diverged_gets_a_number_and_no_error(name):
    network, initial, batches = small_network()
    with torch.no_grad():
        network.classifier.weight.fill_(math.inf)
    found = METRICS[name].measure(TrainedNetwork(network, batches, initial=initial), 0)
    assert type(found.value) is float
    assert not found.value > METRICS[name].measure(small_subject(), 0).value


@every_metric
def test_it_is_a_frozen_value_that_survives_pickling(name):
    metric = METRICS[name]
    assert pickle.loads(pickle.dumps(metric)) == metric
    assert hash(metric) == hash(pickle.loads(pickle.dumps(metric)))
    for field in dataclasses.fields(metric):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(metric, field.name, None)


@pytest.mark.parametrize("name", available(SLOT))
def test_its_documentation_names_its_source(name):
    assert any(f"{year}" in sys.modules[find(SLOT, name).__module__].__doc__ for year in range(1990, 2027))


@dataclass(frozen=True)
class Holder:
    metric: Annotated[Any, Slot(SLOT)]


@pytest.mark.parametrize("name", available(SLOT))
def test_a_configuration_can_name_it(name):
    builder = Builder()
    assert builder.build(Holder, {"metric": name}) == Holder(build(SLOT, name))
    assert not builder.problems


def test_a_configuration_can_put_one_metric_into_another():
    data = {
        "name": "combined",
        "base": {"name": "combined", "base": "angle", "other": "accuracy", "gamma": 0.5},
        "other": {"name": "flatness", "sigma": [1e-3, 3e-3, 6e-3], "mode": "cumulative", "common": False},
        "gamma": 32,
    }
    builder = Builder()
    flatness = Flatness((1e-3, 3e-3, 6e-3), mode="cumulative", common=False)
    due = Combined(Combined(Angle(), Accuracy(), gamma=0.5), flatness, gamma=32)
    assert builder.build(Holder, {"metric": data}) == Holder(due)
    assert not builder.problems


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ({"name": "flatness", "sigma": [0.2, 0.1]}, ("metric", "sigma"), "each above the one before"),
        ({"name": "flatness", "mode": "accumulated"}, ("metric", "mode"), "input should be 'shared'"),
        ({"name": "combined", "gamma": -1}, ("metric", "gamma"), "-1.* is not a weight"),
        ({"name": "combined", "base": "flatness"}, ("metric", "other"), "reports flatness"),
        ("flat", ("metric",), "unknown metric 'flat'"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_where_it_stands(data, path, message):
    builder = Builder()
    assert builder.build(Holder, {"metric": data}) is None
    ((where, found),) = builder.problems
    assert where == path
    assert re.search(message, found)


def test_naming_a_metric_loads_no_torch():
    code = (
        "import sys\nfrom raynas.lookup import available, build\n"
        f"for name in available('{SLOT}'): build('{SLOT}', name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
