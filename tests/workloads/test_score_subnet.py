"""Sub-networks of a small supernet, scored as trials score them."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from raynas.benchmarks import open_table
from raynas.config import load_text, override
from raynas.data.dataset.digits import Digits
from raynas.errors import ConfigError, InputError
from raynas.flatness.metric.accuracy import Accuracy
from raynas.flatness.metric.angle import Angle
from raynas.flatness.metric.combined import Combined
from raynas.flatness.metric.flatness import Flatness
from raynas.flatness.subject import Measured
from raynas.oneshot.settings import Recalibration, Scoring
from raynas.spaces import get_space
from raynas.supernets.cost import count_flops
from raynas.supernets.nas_bench_201 import NasBench201Network
from raynas.supernets.skeleton.nas_bench_201 import NasBench201
from raynas.trial import Trial
from raynas.workloads._scoring import Memory
from raynas.workloads.score_subnet import ScoreSubnet
from raynas.workloads.train_supernet import TrainSupernet

SPACE = get_space("nas_bench_201")
SKELETON = NasBench201(channels=4, cells=1, stages=2)
TRAINING = TrainSupernet(skeleton=SKELETON, epochs=2, batch_size=64, max_batches=8)
SCORING = Scoring(recalibration=Recalibration(n_images=128), n_valid=100)
BOTH = Combined(base=Angle(), other=Flatness(), gamma=16)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run's directory with one trained supernet."""
    place = tmp_path_factory.mktemp("run")
    workload = TRAINING.start(Trial("nas_bench_201", None, Digits(), seed=0))
    while not workload.done:
        workload.step()
    (place / "artifacts" / "0").mkdir(parents=True)
    for name, content in workload.artifacts().items():
        (place / "artifacts" / "0" / name).write_bytes(content)
    return place


@pytest.fixture
def score(run_dir):
    def made(index: int = 4242, metric=None, **given):
        settings = ScoreSubnet(metric or Flatness(), scoring=given.pop("scoring", SCORING))
        trial = Trial("nas_bench_201", SPACE.at(index), Digits(), seed=index, supernet=str(run_dir))
        workload = settings.start(replace(trial, **given))
        report = workload.step()
        assert workload.done
        return report

    return made


def flops_m(index: int) -> float:
    """Multiply-adds of an architecture's own network, in millions."""
    alone = NasBench201Network(
        SPACE.at(index),
        channels=4,
        cells=1,
        stages=2,
        in_channels=1,
        n_classes=10,
        generator=torch.Generator(),
    )
    return count_flops(alone, (1, 8, 8)) / 1e6


@dataclass(frozen=True)
class Counted:
    """Measures a subject's name, and counts how often."""

    unit: float = 1.0
    asked: ClassVar[list[str]] = []

    @property
    def reports(self):
        return ("length",)

    def measure(self, subject, seed):
        Counted.asked.append(subject.name)
        value = self.unit * len(subject.name)
        return Measured(value, value, {"length": value})


class Named:
    def __init__(self, name):
        self.name = name


def test_a_report_has_the_metrics_value_twice_once_by_a_name_that_all_metrics_share(score):
    found = score().metrics
    assert found["subnet_score"] == found["flatness"] > 0
    assert {"perturbed_loss_1", "perturbed_loss_2", "perturbed_loss_3"} <= found.keys()
    found = score(metric=Accuracy()).metrics
    assert found["subnet_score"] == found["accuracy_pct"]
    found = score(metric=BOTH).metrics
    assert found["subnet_score"] == pytest.approx(found["angle"] / math.pi + 16 * found["flatness"] / 2e-3)


@pytest.mark.parametrize("metric", [Flatness(), Angle(), Accuracy(), BOTH])
def test_a_workload_says_beforehand_what_it_reports(score, metric):
    reported = set(score(metric=metric, table="digits").metrics)
    assert reported == set(ScoreSubnet(metric).metrics)


def test_multiply_adds_are_those_of_the_architecture_on_its_own(score):
    assert score().metrics["flops_m"] == pytest.approx(flops_m(4242))


def test_the_table_is_looked_up_where_there_is_one(score):
    found = score(table="digits").metrics
    table = open_table("digits")
    for split in ("valid", "test"):
        due = table.query(f"{split}_accuracy_pct", SPACE.at(4242))
        assert found[f"table_{split}_accuracy_pct"] == due
        assert f"table_{split}_accuracy_pct" not in score().metrics


def test_all_trials_of_a_run_meet_the_same_noise_whatever_their_own_seeds(score):
    first, again = score(seed=1).metrics, score(seed=2).metrics
    assert first == again
    assert score(run_seed=7).metrics["flatness"] != first["flatness"]


def test_a_sweep_over_gamma_measures_each_part_of_an_architecture_once():
    Counted.asked.clear()
    memory = Memory()
    found = [
        memory.of(Combined(base=Counted(), other=Angle(), gamma=gamma))
        .metric.base.measure(Named(name), 0)
        .value
        for gamma in (0.0, 0.5, 16.0)
        for name in ("a", "bb")
    ]
    assert found == [1, 2] * 3
    assert Counted.asked == ["a", "bb"]
    assert memory.of(Counted(2.0)).measure(Named("a"), 0).value == 2
    memory.of(Counted()).measure(Named("a"), 1)
    assert Counted.asked == ["a", "bb", "a", "a"]


def test_a_run_that_holds_none_or_several_supernets_is_refused_by_name(score, tmp_path, run_dir):
    with pytest.raises(InputError, match=str(tmp_path)):
        score(supernet=str(tmp_path))
    for key in ("0", "1"):
        (tmp_path / "artifacts" / key).mkdir(parents=True)
        for name in ("about.json", "weights.pt"):
            content = (run_dir / "artifacts" / "0" / name).read_bytes()
            (tmp_path / "artifacts" / key / name).write_bytes(content)
    with pytest.raises(InputError, match=r"holds 2 supernets; name one of .*artifacts/0, .*artifacts/1"):
        score(supernet=str(tmp_path))
    score(supernet=str(tmp_path / "artifacts" / "1"))


@pytest.mark.parametrize("name", ["architecture", "dataset", "supernet"])
def test_a_trial_without_what_it_needs_is_refused(score, name):
    with pytest.raises(InputError, match=f"the trial has no {name}"):
        score(**{name: None})


CONFIG = """\
search_space: nas_bench_201
dataset: digits
workload: score_subnet
searcher: random_search
report: {metric: subnet_score}
"""


def problems(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_text(CONFIG, source="x.yaml", overrides=[override(text) for text in overrides])
    return str(caught.value)


def test_a_configuration_that_names_a_supernet_is_in_order(run_dir):
    overrides = [override(f"supernet={run_dir}"), override("workload.metric=angle")]
    experiment = load_text(CONFIG, source="x.yaml", overrides=overrides)
    assert experiment.context().flops_m(SPACE.at(4242)) == pytest.approx(flops_m(4242))


def test_multiply_adds_are_known_before_the_supernet_is_trained():
    skeleton = "{name: nas_bench_201, channels: 4, cells: 1, stages: 2}"
    overrides = [override(f"workload.training={{skeleton: {skeleton}, epochs: 2}}")]
    experiment = load_text(CONFIG, source="x.yaml", overrides=overrides)
    assert experiment.context().flops_m(SPACE.at(77)) == pytest.approx(flops_m(77))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["search_space=darts"], "nas_bench_201"),
        (["workload.metric={name: flatness, sigma: [2e-3, 1e-3]}"], r"workload\.metric\.sigma: "),
        (["workload.metric={name: flatness, sigma: [0.0, 1e-3]}"], r"workload\.metric\.sigma: "),
        (["table=digits", "workload.table_dataset=cifar10"], r"workload\.table_dataset: "),
        (["report.metric=flatnes"], r"report\.metric: .*did you mean 'flatness'"),
        (["report.metric=table_test_accuracy_pct"], "table: is missing"),
        (["searcher=sweep"], "proposes no architectures"),
        (["dataset=null"], "dataset: is missing"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_loaded(run_dir, overrides, message):
    assert re.search(message, problems(f"supernet={run_dir}", *overrides))


def test_a_path_that_holds_no_supernet_is_refused_when_it_is_loaded(tmp_path):
    found = problems(f"supernet={tmp_path}")
    assert found.startswith(f"-o supernet={tmp_path}: supernet: {tmp_path}")


def test_loading_a_configuration_loads_no_torch(run_dir):
    program = (
        "import sys; from raynas.config import load_text, override; "
        f"load_text({CONFIG!r}, source='x', overrides=[override('supernet={run_dir}')]).context(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
