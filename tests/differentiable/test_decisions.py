"""What gives operations and edges up: the laws of every decision, magnitude, and perturbation (DARTS-PT)."""

from __future__ import annotations

import math
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from moments import Judge, deep_copy, logits_of, moment_of, narrowings, unchanged

from raynas.config.building import Builder
from raynas.differentiable.decision.greedy import Greedy
from raynas.differentiable.decision.magnitude import Magnitude
from raynas.differentiable.decision.perturbation import Perturbation
from raynas.differentiable.decision.stages import Stages
from raynas.differentiable.derivation import derived
from raynas.differentiable.slots import Evaluation
from raynas.spaces import get_space
from raynas.supernets.layout import Layout

torch.set_num_threads(1)

CELL = Layout(get_space("nas_bench_201"))
S5 = Layout(get_space("darts_s5"))
DARTS = Layout(get_space("darts"))
INPUTS = Perturbation(target="inputs")
ALL = [Magnitude(), Perturbation(), INPUTS, Greedy(), Greedy(criterion=2), Stages()]


def counts(alive, kind):
    """How many operations are left on each edge."""
    return alive[kind].sum(1).tolist()


def epochs_of(found):
    return [moment.epoch if moment.tuning is None else moment.tuning for moment, _ in found]


# Every decision


@pytest.mark.parametrize("decision", ALL, ids=str)
@pytest.mark.parametrize("layout", [CELL, DARTS], ids=["nas_bench_201", "darts"])
def test_a_decision_leaves_the_moment_as_it_was_and_repeats_itself(decision, layout):
    if list(getattr(decision, "problems", lambda space: ())(layout.space)):
        pytest.skip("refused in this space")
    for epoch, tuning in [(10, None), (50, None), (50, 0), (50, 5)]:
        moment = moment_of(layout, epoch=epoch, tuning=tuning)
        before = deep_copy(moment)
        first, again = decision.narrowed(moment), decision.narrowed(moment)
        assert unchanged(moment, before)
        assert (first is None) == (again is None)
        if first is not None:
            assert all(np.array_equal(first.alive[kind], again.alive[kind]) for kind in first.alive)
            assert first.alive is not moment.alive or first.memory


@pytest.mark.parametrize("decision", ALL, ids=str)
def test_the_answer_is_an_architecture_at_any_time(decision):
    for layout in (CELL, DARTS):
        if list(getattr(decision, "problems", lambda space: ())(layout.space)):
            continue
        found, alive = narrowings(decision, layout)
        for narrowed in [*(narrowing.alive for _, narrowing in found), alive]:
            moment = moment_of(layout, alive=narrowed)
            assert layout.alive_of(derived(layout, moment.theta, narrowed)).keys() == narrowed.keys()


@pytest.mark.parametrize("decision", ALL, ids=str)
def test_hyperparameters_are_a_value_that_yaml_gives(decision):
    assert pickle.loads(pickle.dumps(decision)) == decision
    assert hash(decision) == hash(replace(decision))
    data = {
        field.name: list(given) if isinstance(given := getattr(decision, field.name), tuple) else given
        for field in fields(decision)
    }
    builder = Builder()
    assert builder.build(type(decision), data) == decision
    assert not builder.problems


@pytest.mark.parametrize("decision", [Magnitude(), Perturbation(), INPUTS])
def test_during_the_search_nothing_is_given_up(decision):
    assert all(
        decision.narrowed(moment_of(S5, epoch=epoch)) is None for epoch in range(51)
    )  # the fake supernet is not asked either


def test_magnitude_asks_for_no_tuning():
    assert Magnitude().tuning_epochs(CELL) == Magnitude().tuning_epochs(DARTS) == 0
    assert Magnitude().narrowed(moment_of(CELL, tuning=0)) is None


# Perturbation: when


@pytest.mark.parametrize(
    ("tune_epochs", "due", "total"),
    [(5, [0, 5, 10, 15, 20, 24], 25), (1, [0, 1, 2, 3, 4, 5], 6), (2, [0, 2, 4, 6, 8, 9], 10)],
)
def test_on_nas_bench_201_six_edges_are_decided_the_last_at_the_last_epoch(tune_epochs, due, total):
    judge, decision = Judge(CELL), Perturbation(tune_epochs=tune_epochs)
    found, alive = narrowings(decision, CELL, evaluate=judge)
    assert decision.tuning_epochs(CELL) == total
    assert epochs_of(found) == due
    assert counts(alive, "") == [1] * 6
    assert len(judge.calls) == 30


def test_on_darts_operations_take_70_epochs_and_inputs_11():
    operations, inputs = Judge(S5), Judge(S5)
    first, alive = narrowings(Perturbation(), S5, evaluate=operations)
    assert Perturbation().tuning_epochs(S5) + INPUTS.tuning_epochs(S5) == 81
    assert epochs_of(first) == list(range(0, 70, 5))
    assert len(operations.calls) == 14 * 7 * 2
    assert counts(alive, "normal") == counts(alive, "reduce") == [1] * 14
    second = []
    for tuning in range(INPUTS.tuning_epochs(S5)):
        narrowing = INPUTS.narrowed(
            moment_of(S5, alive=alive, epoch=50, tuning=tuning, seed=tuning, evaluate=inputs)
        )
        if narrowing is not None:
            alive = narrowing.alive
            second.append(tuning)
    assert second == [0, 5, 10]
    assert len(inputs.calls) == 2 * (3 + 4 + 5)
    for kind in S5.kinds:
        assert sum(counts(alive, kind)) == 8
    assert S5.alive_of(S5.architecture(alive)).keys() == alive.keys(), "it is an architecture as it stands"


def test_accumulating_evaluates_as_often_as_the_released_code():
    judge = Judge(S5)
    _, alive = narrowings(replace(INPUTS, accumulate=True), S5, evaluate=judge)
    assert len(judge.calls) == 44
    assert sum(count > 0 for count in counts(alive, "normal")) == 8


def test_edges_already_decided_are_passed_over():
    alive = CELL.all_alive()
    alive[""][:] = False
    alive[""][:, 2] = True
    alive[""][4] = True
    found, alive = [], alive
    decision = Perturbation()
    for tuning in range(decision.tuning_epochs(CELL)):
        narrowing = decision.narrowed(moment_of(CELL, alive=alive, epoch=50, tuning=tuning))
        if narrowing is not None:
            found.append(tuning)
            alive = narrowing.alive
    assert found == [0]
    assert counts(alive, "") == [1] * 6


# Perturbation: what


@pytest.mark.parametrize("criterion", ["acc", "loss"])
@pytest.mark.parametrize("seed", range(3))
def test_the_operations_that_carry_the_signal_stay_whatever_alpha_is(criterion, seed):
    rng = np.random.default_rng(seed)
    due = rng.integers(5, size=6)
    worth = np.zeros((6, 5))
    worth[np.arange(6), due] = 3.0
    alpha = logits_of(CELL, seed=seed)
    alpha[""][np.arange(6), due] = -5.0  # magnitude would never take these
    decision = Perturbation(criterion=criterion)
    _, alive = narrowings(
        decision, CELL, alpha_at=lambda epoch: alpha, evaluate=Judge(CELL, worth={"": worth})
    )
    assert alive[""].argmax(1).tolist() == due.tolist()
    by_magnitude = CELL.alive_of(derived(CELL, moment_of(CELL, alpha=alpha).theta, CELL.all_alive()))
    assert by_magnitude[""].argmax(1).tolist() == alpha[""].argmax(1).tolist()


def test_an_operation_is_masked_and_nothing_renormalised():
    judge = Judge(CELL)
    moment = moment_of(CELL, epoch=50, tuning=0, evaluate=judge)
    narrowing = Perturbation(order="first").narrowed(moment)
    for column, (theta, alive) in enumerate(judge.calls):
        masked = moment.theta[""].clone()
        masked[0, column] = 0
        assert torch.equal(theta[""], masked)
        counted = CELL.all_alive()
        counted[""][0, column] = False
        assert np.array_equal(alive[""], counted[""])
    assert counts(narrowing.alive, "") == [1, 5, 5, 5, 5, 5]


def test_normal_cells_are_decided_before_reduction_cells_are_looked_at():
    judge = Judge(S5)
    moment = moment_of(S5, epoch=50, tuning=0, evaluate=judge)
    narrowing = Perturbation(order="first").narrowed(moment)
    kept = narrowing.alive["normal"][0].argmax()
    for theta, alive in judge.calls[7:]:
        assert theta["normal"][0].tolist() == [float(column == kept) for column in range(7)]
        assert torch.equal(theta["normal"][1:], moment.theta["normal"][1:])
        assert counts(alive, "normal")[0] == 1


def test_of_equal_operations_the_first_stays_and_of_equal_edges_the_last_goes():
    same = Judge(S5, worth={kind: np.zeros((14, 7)) for kind in S5.kinds})
    _, alive = narrowings(Perturbation(), S5, evaluate=same)
    assert all((alive[kind].argmax(1) == 0).all() for kind in S5.kinds)
    for decision in (INPUTS, replace(INPUTS, accumulate=True), replace(INPUTS, criterion="loss")):
        _, alive = narrowings(decision, S5, evaluate=same)
        left = [row for row, count in enumerate(counts(alive, "normal")) if count]
        assert left == [0, 1, 2, 3, 5, 6, 9, 10], "the first two edges into every node"


@pytest.mark.parametrize("criterion", ["acc", "loss"])
def test_inputs_that_are_missed_least_go(criterion):
    judge = Judge(S5, seed=4)
    _, alive = narrowings(replace(INPUTS, criterion=criterion), S5, evaluate=judge)
    for kind in S5.kinds:
        for start, end in [(2, 5), (5, 9), (9, 14)]:
            sums = judge.worth[kind][start:end].sum(1)
            kept = [row for row in range(end - start) if alive[kind][start + row].any()]
            assert kept == sorted(np.argsort(sums)[-2:].tolist())


class Substitutes:
    """The last node's first two edges do the same: either may go, but not both."""

    def __call__(self, theta, alive):
        has = alive["normal"].any(1)
        accuracy = 10.0 * (has[9] or has[10]) + 1.0 * has[11] + 2.0 * has[12] + 3.0 * has[13]
        return Evaluation(-accuracy, accuracy)


@pytest.mark.parametrize(("accumulate", "due"), [(False, [12, 13]), (True, [9, 13])])
def test_ranked_alone_substitutes_both_go_and_accumulated_one_stays(accumulate, due):
    """The released code ranks each edge against the same supernet."""
    alive = S5.all_alive()
    alive["normal"][4] = alive["normal"][7:9] = False  # nodes 3 and 4 are decided
    alive["reduce"][4] = alive["reduce"][7:9] = alive["reduce"][11:14] = False
    moment = moment_of(S5, alive=alive, epoch=50, tuning=0, evaluate=Substitutes())
    narrowing = replace(INPUTS, accumulate=accumulate).narrowed(moment)
    assert [row for row in range(9, 14) if narrowing.alive["normal"][row].any()] == due


def test_none_stays_only_where_every_other_operation_does_harm():
    worth = {"": np.full((6, 5), -1.0)}
    worth[""][:, 0] = 0.0  # nothing is lost with none
    _, alive = narrowings(Perturbation(), CELL, evaluate=Judge(CELL, worth=worth))
    assert (alive[""].argmax(1) == 0).all()
    worth[""][2, 3] = 0.1
    _, alive = narrowings(Perturbation(), CELL, evaluate=Judge(CELL, worth=worth))
    assert alive[""].argmax(1).tolist() == [0, 0, 3, 0, 0, 0]


def test_none_is_no_candidate_where_no_architecture_has_it():
    worth = {kind: np.full((14, 8), -1.0) for kind in DARTS.kinds}
    for rows in worth.values():
        rows[:, 0] = 5.0
    judge = Judge(DARTS, worth=worth)
    _, alive = narrowings(Perturbation(), DARTS, evaluate=judge)
    assert all((alive[kind].argmax(1) == 1).all() for kind in DARTS.kinds)
    assert len(judge.calls) == 14 * 7 * 2


def test_a_loss_that_is_not_a_number_counts_as_the_worst():
    def evaluate(theta, alive):
        return Evaluation(math.nan if not alive[""][0, 3] else 1.0, 50.0)

    moment = moment_of(CELL, epoch=50, tuning=0, evaluate=evaluate)
    narrowing = Perturbation(criterion="loss", order="first").narrowed(moment)
    assert narrowing.alive[""][0].argmax() == 3


def test_the_next_edge_is_drawn_from_the_moments_seed():
    chosen = [
        [
            counts(Perturbation().narrowed(moment_of(S5, tuning=0, seed=seed)).alive, kind).index(1)
            for kind in S5.kinds
        ]
        for seed in range(40)
    ]
    assert len({normal for normal, _ in chosen}) > 8
    assert any(normal != reduce for normal, reduce in chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune_epochs": 0}, "tune_epochs: 0 is below 1"),
        ({"accumulate": True}, "accumulate: is for target: inputs; leave it out"),
    ],
)
def test_what_perturbation_cannot_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Perturbation(**options)


def test_inputs_are_refused_where_cells_use_every_edge():
    [(field, message)] = INPUTS.problems(CELL.space)
    assert field == "target"
    assert message == (
        "the cells of nas_bench_201 use every edge, so no inputs are chosen; use operations alone"
    )
    assert not list(INPUTS.problems(S5.space))
    assert not list(Perturbation().problems(CELL.space))
