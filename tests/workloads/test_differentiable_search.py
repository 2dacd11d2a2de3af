"""A differentiable search as a workload: reports, checkpoints, look-ups, ends, decisions and their tuning."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from tables import write_table

from raynas.config import load_text, override
from raynas.errors import ConfigError, RaynasError
from raynas.search.asktell import Proposal
from raynas.spaces import get_space
from raynas.trial import Diverged

SPACE = get_space("nas_bench_201")
CONFIG = """\
search_space: nas_bench_201
dataset: digits
workload:
  name: differentiable_search
  skeleton: {name: nas_bench_201, channels: 4, cells: 1, stages: 2}
  max_batches: 2
  eval_batch_size: 64
method: {epochs: 4, batch_size: 16}
report: {metric: valid_accuracy_pct}
"""


def start(*overrides, text=CONFIG):
    experiment = load_text(text, source="x.yaml", overrides=[override(item) for item in overrides])
    return experiment.workload.start(experiment.trial(Proposal(0, None)))


def reports(search):
    found = []
    while not search.done:
        found.append(search.step())
    return found


def deterministic(report):
    """All that does not hang on the machine."""
    kept = {name: value for name, value in report.metrics.items() if name != "peak_memory_mb"}
    return kept, report.epoch, report.architecture


def test_every_epoch_is_reported_with_what_was_derived():
    found = reports(start())
    assert [report.epoch for report in found] == [1, 2, 3, 4]
    for report in found:
        assert SPACE.parse(report.architecture)
        assert 0 <= report.metrics["skip_share"] <= 1
        assert 0 < report.metrics["theta_entropy"] <= math.log(5) + 1e-6
        assert report.metrics["peak_memory_mb"] > 0
        assert report.cost_s > 0
    rates = [report.metrics["learning_rate"] for report in found]
    due = [0.001 + 0.024 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert rates == pytest.approx(due)


METHODS = {
    "darts": [],
    "a2m": ["method.arch_gradient.name=a2m"],
    "neighborhood": ["method.arch_gradient={name: neighborhood, d: 2, n_nbr: 3}"],
    "second order": ["method.arch_gradient=unrolled"],
    "sdarts": ["method.mixing_perturbation=adversarial"],
    "lambda": ["method.weight_regularizer=layer_alignment"],
    "drnas in stages": [
        "method.relaxation=dirichlet",
        "method.mixed_op=[{name: partial_channels, k: 2, edge_normalization: false}]",
        "method.decision=[{name: stages, epochs: [2], keep: [3], k: [1], warmup: 1}]",
    ],
    "pc-darts": ["method.mixed_op=[{name: partial_channels, k: 2}]"],
    "gdas": ["method.relaxation=gumbel", "method.order=w_first"],
    "sgas": ["method.decision=[{name: greedy, warmup: 1, interval: 1}]"],
    "pt": ["method.epochs=1", "method.decision=[{name: perturbation, tune_epochs: 1}]"],
    "best loss": ["method.stopping={name: best_validation_loss, patience: 1}"],
    "eigenvalue": ["method.stopping=hessian_eigenvalue"],
}


@pytest.mark.parametrize("name", METHODS)
def test_a_search_goes_on_from_its_checkpoint_bit_for_bit(name):
    whole = reports(start(*METHODS[name]))
    first = start(*METHODS[name])
    halfway = len(whole) // 2
    for _ in range(halfway):
        first.step()
    saved = pickle.loads(pickle.dumps(first.state_dict()))
    second = start(*METHODS[name])
    second.load_state_dict(saved)
    rest = reports(second)
    assert list(map(deterministic, rest)) == list(map(deterministic, whole[halfway:]))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("method.arch_gradient={name: a2m, inner: unrolled}", "arch_gradient"),
        ("method.weight_regularizer=layer_alignment", "weight_regularizer"),
        ("method.mixed_op=[{name: partial_channels, k: 2}]", "mixed_op"),
        ("method.epochs=5", "epochs"),
        ("method.batch_size=8", "batch_size"),
    ],
)
def test_a_checkpoint_of_another_method_is_refused(other, named):
    saved = start("method.arch_gradient=a2m").state_dict()
    with pytest.raises(RaynasError, match=f"of another method than the trial's, with another {named}; start"):
        start("method.arch_gradient=a2m", other).load_state_dict(saved)


def parameters(search):
    """Weights and architecture parameters."""
    bilevel = search._bilevel
    return (
        [tensor.detach().clone() for tensor in bilevel.supernet.parameters()],
        [tensor.detach().clone() for tensor in bilevel.alpha.values()],
    )


def moved(before, after):
    """The greatest change of any."""
    return max(float((new - old).abs().max()) for old, new in zip(before, after, strict=True))


def test_a_search_that_goes_on_from_anothers_state_steps_by_its_own_numbers():
    donor = start("method.arch_gradient={name: a2m, rho: 0.1}")
    donor.step()
    saved = pickle.loads(pickle.dumps(donor.state_dict()))
    still = "method.alpha.lr=1e-9", "method.weights.lr=1e-9", "method.weights.lr_min=0"
    search = start("method.arch_gradient={name: a2m, rho: 1.0}", "seed=1", *still)
    search.load_state_dict(saved)
    weights, alpha = parameters(search)
    assert moved(parameters(donor)[0], weights) == moved(parameters(donor)[1], alpha) == 0.0
    assert search.step().epoch == 2
    assert moved(weights, parameters(search)[0]) < 1e-6
    assert moved(alpha, parameters(search)[1]) < 1e-6
    donor.step()
    assert moved(weights, parameters(donor)[0]) > 1e-4
    assert moved(alpha, parameters(donor)[1]) > 1e-4


def test_optimisers_keep_the_numbers_of_the_method_that_they_go_on_under():
    donor = start()
    donor.step()
    numbers = {
        "method.weights.momentum": 0.5,
        "method.weights.weight_decay": 0.01,
        "method.weights.nesterov": "true",
        "method.alpha.lr": 0.01,
        "method.alpha.weight_decay": 0.1,
        "method.alpha.betas": "[0.8, 0.9]",
    }
    search = start(*(f"{path}={number}" for path, number in numbers.items()))
    search.load_state_dict(donor.state_dict())
    (sgd,) = search._bilevel._weights._sgd.param_groups
    (adam,) = search._bilevel._arch._adam.param_groups
    assert (sgd["momentum"], sgd["weight_decay"], sgd["nesterov"]) == (0.5, 0.01, True)
    assert (adam["lr"], adam["weight_decay"], tuple(adam["betas"])) == (0.01, 0.1, (0.8, 0.9))
    assert search._bilevel._arch._adam.state  # the donor's moments
    search.step()


def test_the_derived_architecture_is_looked_up_in_the_table(tmp_path):
    table = write_table(tmp_path / "toy.parquet")
    for report in reports(start(f"table={table.path}", "report.metric=derived_test_accuracy_pct")):
        architecture = SPACE.parse(report.architecture)
        for split in ("valid", "test"):
            due = table.query(f"{split}_accuracy_pct", architecture)
            assert report.metrics[f"derived_{split}_accuracy_pct"] == pytest.approx(due)


def test_trials_of_a_sweep_differ_in_what_is_swept_alone():
    """The first epoch's training loss is the same whatever the learning rate of alpha, which comes later."""
    slow, fast = (start(f"method.alpha.lr={lr}", "method.warmup_epochs=1").step() for lr in (1e-4, 1e-1))
    assert slow.metrics["train_loss"] == fast.metrics["train_loss"]


def test_selection_by_perturbation_decides_every_edge_while_it_is_tuned():
    search = start("method.epochs=1", "method.decision=[{name: perturbation, tune_epochs: 1}]")
    found = reports(search)
    assert found[-1].metrics["theta_entropy"] == 0.0
    assert found[0].metrics["theta_entropy"] > 0.0
    (alive,) = search._bilevel.alive.values()
    assert alive.sum(1).tolist() == [1] * 6
    assert str(search._bilevel.layout.architecture(search._bilevel.alive)) == found[-1].architecture
    assert {report.metrics["learning_rate"] for report in found[1:]} == {0.0025}


def test_a_search_that_ends_early_answers_with_an_earlier_architecture():
    search = start("method.epochs=8", "method.stopping={name: best_validation_loss, patience: 0}")
    found = reports(search)
    losses = [report.metrics["valid_loss"] for report in found]
    best = losses.index(min(losses))
    assert len(found) == min(8, best + 2)
    # what was derived at the start of the best epoch, which is after the one before it
    assert found[-1].architecture == (search._trail[best] if best else search._trail[0])


def test_the_eigenvalue_is_reported_when_the_rule_measures_it():
    found = reports(start("method.stopping={name: hessian_eigenvalue, every: 2}"))
    measured = ["hessian_eigenvalue" in report.metrics for report in found]
    assert measured == [True, False, True, False]


def test_the_eigenvalue_is_reported_when_it_is_asked_for():
    found = reports(start("workload.hessian_every=3"))
    measured = ["hessian_eigenvalue" in report.metrics for report in found]
    assert measured == [True, False, False, True]
    with pytest.raises(ConfigError, match=r"workload\.hessian_every: takes second derivatives"):
        start("workload.hessian_every=3", "method.relaxation=dirichlet")


def test_a_rule_that_would_end_the_search_after_its_last_epoch_changes_nothing():
    rule = "{name: hessian_eigenvalue, every: 1, window: 1, delta: 1, start: 0, factor: 1e-9}"
    search = start(f"method.stopping={rule}", "method.epochs=3")
    answers = [report.architecture for report in reports(search)]
    assert len(answers) == 2, "the rule ends it as soon as it may"
    search = start(f"method.stopping={rule}", "method.epochs=2")
    reports(search)
    assert search._stop is None


def test_a_loss_that_is_no_number_is_a_divergence():
    search = start("method.weights={lr: 1e18, clip: null}")
    with pytest.raises(Diverged, match="loss is"):
        reports(search)


def test_the_greedy_decision_grows_the_batches():
    search = start("method.decision=[{name: greedy, warmup: 0, interval: 1}]")
    reports(search)
    assert search._bilevel._train_batches.batch_size == 16 + 8 * 4


def test_cuda_graphs_are_without_effect_on_a_cpu():
    plain, graphed = (reports(start(f"workload.cuda_graphs={wanted}")) for wanted in ("false", "true"))
    assert list(map(deterministic, plain)) == list(map(deterministic, graphed))


def test_cuda_graphs_are_wanted_or_not():
    with pytest.raises(ConfigError, match=r"workload\.cuda_graphs: 'often'"):
        start("workload.cuda_graphs=often")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cuda_graphs", ["false", "true"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_searches_on_a_gpu(precision, cuda_graphs):
    settings = (f"workload.precision={precision}", f"workload.cuda_graphs={cuda_graphs}")
    experiment = load_text(
        CONFIG.replace("max_batches: 2", "max_batches: 5"),
        source="x.yaml",
        overrides=[override(item) for item in ("tune.resources.gpu=1", *settings)],
    )
    found = reports(experiment.workload.start(experiment.trial(Proposal(0, None))))
    assert all(math.isfinite(value) for report in found for value in report.metrics.values())
