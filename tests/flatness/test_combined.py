"""Metrics added up."""

from __future__ import annotations

import math

import pytest
import torch
from subjects import constant

from raynas.flatness.metric.accuracy import Accuracy
from raynas.flatness.metric.angle import Angle
from raynas.flatness.metric.combined import Combined
from raynas.flatness.metric.flatness import Flatness

# of each candidate: accuracy in percent, and a loss that noise does not change
CANDIDATES = [(90.0, 2.0), (80.0, 0.5), (70.0, 1.0), (60.0, 4.0)]


def measured(metric, accuracy, loss):
    angled = {"initial": {"w": torch.ones(3)}}
    return metric.measure(constant(loss, accuracy=accuracy, **angled), 0)


def ranking(metric):
    scores = [measured(metric, *candidate).value for candidate in CANDIDATES]
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)


def test_accuracy_is_percent_and_its_share_a_hundredth():
    found = measured(Accuracy(), 87.5, 1.0)
    assert (found.value, found.share, found.metrics) == (87.5, 0.875, {"accuracy_pct": 87.5})


def test_the_score_is_the_share_of_the_base_plus_gamma_times_that_of_the_other():
    found = measured(Combined(Accuracy(), Flatness((1.0, 2.0), eps=1e-12), gamma=0.5), 80.0, 2.0)
    assert found.value == pytest.approx(0.8 + 0.5 * 0.5)
    assert found.share == found.value == found.metrics["combined"]
    assert found.metrics["other_share_pct"] == pytest.approx(100 * 0.25 / 1.05)
    assert found.metrics["accuracy_pct"] == 80
    assert found.metrics["flatness"] == pytest.approx(0.5)


def test_a_gamma_of_0_ranks_as_the_base_does_and_a_great_one_as_the_other():
    flatness = Flatness()
    assert ranking(Combined(Accuracy(), flatness, gamma=0)) == ranking(Accuracy()) == [0, 1, 2, 3]
    assert ranking(Combined(Accuracy(), flatness, gamma=1e9)) == ranking(flatness) == [1, 2, 0, 3]
    assert ranking(Combined(Accuracy(), flatness, gamma=0.15)) == [1, 0, 2, 3]


def test_a_gamma_of_0_still_reports_the_other():
    found = measured(Combined(Accuracy(), gamma=0), 80.0, 2.0)
    assert found.value == 0.8
    assert found.metrics["other_share_pct"] == 0
    assert found.metrics["flatness"] > 0


def test_the_share_of_the_other_rises_with_gamma_towards_all_of_it():
    shares = [
        measured(Combined(Accuracy(), gamma=gamma), 80.0, 2.0).metrics["other_share_pct"]
        for gamma in (0, 0.25, 2, 8, 32, 1e9)
    ]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(100)


def test_the_angle_and_the_accuracy_can_be_added_too():
    subject = constant(1.0, accuracy=50.0, initial={"w": torch.tensor([1.0, 0, 0])})
    subject.weights = {"w": torch.tensor([0.0, 1, 0])}
    found = Combined(Angle(), Accuracy(), gamma=0.5).measure(subject, 0)
    assert found.value == pytest.approx(0.5 + 0.5 * 0.5)
    assert found.metrics == {
        "angle": pytest.approx(math.pi / 2),
        "accuracy_pct": 50,
        "combined": found.value,
        "other_share_pct": pytest.approx(100 / 3),
    }


def test_a_combination_can_be_combined_again():
    inner = Combined(Angle(), Accuracy(), gamma=0.5)
    found = measured(Combined(inner, Flatness((1.0, 2.0), eps=1e-12), gamma=2.0), 50.0, 4.0)
    assert found.value == pytest.approx(0.25 + 2 / 4)
    assert found.metrics["combined"] == found.value
    assert {"angle", "accuracy_pct", "flatness"} < found.metrics.keys()


def test_a_score_of_0_has_no_parts():
    dead = constant(math.inf, accuracy=0.0)
    assert Combined(Accuracy()).measure(dead, 0).metrics["other_share_pct"] == 0


@pytest.mark.parametrize("gamma", [-1.0, math.inf, math.nan])
def test_a_gamma_that_is_no_weight_is_refused(gamma):
    with pytest.raises(ValueError, match=r"gamma: .* is not a weight"):
        Combined(gamma=gamma)


def test_two_metrics_that_report_under_one_name_are_refused():
    with pytest.raises(ValueError, match="other: reports flatness, perturbed_loss_1 as base does"):
        Combined(Flatness(), Flatness((1.0,)))
    with pytest.raises(ValueError, match="other: reports accuracy_pct as base does"):
        Combined(Combined(Angle(), Accuracy()), Accuracy())
