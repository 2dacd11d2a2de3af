"""Decisions during the search: greedy (SGAS) and in stages (DrNAS)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from moments import Judge, logits_of, moment_of, narrowings

from raynas.differentiable.decision.greedy import Edges, Greedy
from raynas.differentiable.decision.stages import Stages
from raynas.differentiable.derivation import derived
from raynas.spaces import get_space
from raynas.supernets.layout import Layout

torch.set_num_threads(1)

CELL = Layout(get_space("nas_bench_201"))
S5 = Layout(get_space("darts_s5"))
DARTS = Layout(get_space("darts"))


def counts(alive, kind):
    """How many operations are left on each edge."""
    return alive[kind].sum(1).tolist()


def epochs_of(found):
    return [moment.epoch for moment, _ in found]


# Greedy: scores


@pytest.fixture
def three_edges(tmp_path):
    """Three edges of three operations besides none."""
    path = tmp_path / "three.yaml"
    path.write_text(
        "kind: nas_bench_201\nnodes: 3\noperations: [none, skip_connect, nor_conv_1x1, nor_conv_3x3]\n"
    )
    return Layout(get_space(str(path)))


def test_scores_of_three_edges_worked_out_by_hand(three_edges):
    alpha = {"": torch.tensor([[0.0, 1, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]])}
    moment = moment_of(three_edges, alpha=alpha)
    edges = Edges.of(moment, "")
    due = torch.tensor([[0.8251, 0.75, 0.2888], [0.1122, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(torch.stack([edges.importance, edges.certainty]), due, rtol=0, atol=5e-5)
    scores = Greedy()._scores(edges, ())
    torch.testing.assert_close(scores, torch.tensor([1.0, 0, 0]).double(), rtol=0, atol=1e-12)


def test_certainty_is_0_for_equal_shares_and_1_for_a_single_one(three_edges):
    alpha = {"": torch.tensor([[7.0, 1, 1, 1], [-3, 90, 0, 0], [0, 1, 2, 3]])}
    certainty = Edges.of(moment_of(three_edges, alpha=alpha), "").certainty
    assert certainty[0] == pytest.approx(0, abs=1e-12)
    assert certainty[1] == pytest.approx(1)
    assert 0 < certainty[2] < 1


def test_stability_is_the_mean_histogram_intersection(three_edges):
    edges = Edges.of(moment_of(three_edges), "")
    assert edges.stability(()).tolist() == [0, 0, 0]
    torch.testing.assert_close(edges.stability([edges.shares] * 3), torch.ones(3).double())
    other = edges.shares.roll(1, 1)
    due = (torch.minimum(other, edges.shares).sum(1) + 1) / 2
    torch.testing.assert_close(edges.stability([other, edges.shares]), due)


def test_criterion_2_multiplies_stability_over_the_last_epochs_before_this_one(three_edges):
    """The weights of epoch 9 (the tenth) are compared with those of epochs 5 to 8."""
    alphas = [{"": torch.randn(3, 4, generator=torch.Generator().manual_seed(e))} for e in range(20)]
    found, _ = narrowings(
        Greedy(criterion=2), three_edges, epochs=10, alpha_at=lambda epoch: alphas[epoch - 1]
    )
    shares = [Edges.of(moment_of(three_edges, alpha=alpha), "").shares for alpha in alphas]
    assert [len(narrowing.memory[""]) for _, narrowing in found] == [1, 2, 3] + [4] * 7
    moment, narrowing = found[-1]
    for kept, due in zip(moment.memory[""], shares[5:9], strict=True):
        assert torch.equal(kept, due)

    def normal(values):
        return (values - values.min()) / (values.max() - values.min())

    edges = Edges.of(moment, "")
    stability = sum(torch.minimum(old, shares[9]).sum(1) for old in shares[5:9]) / 4
    scores = normal(edges.importance) * normal(edges.certainty) * normal(stability)
    assert counts(narrowing.alive, "").index(1) == int(scores.argmax())


# Greedy: decisions


def test_on_darts_eight_edges_of_every_kind_are_decided_and_nodes_keep_two():
    found, alive = narrowings(Greedy(), DARTS)
    assert epochs_of(found) == [10, 15, 20, 25, 30, 35, 40, 45], "the ends of epochs 9, 14, ... 44"
    assert [narrowing.batch_size_step for _, narrowing in found] == [8] * 8
    for kind in DARTS.kinds:
        for start, end in [(0, 2), (2, 5), (5, 9), (9, 14)]:
            assert sum(counts(alive, kind)[start:end]) == 2
    assert DARTS.alive_of(DARTS.architecture(alive)).keys() == alive.keys()


def test_a_node_with_two_decided_edges_loses_its_others_at_once():
    for moment, narrowing in narrowings(Greedy(), DARTS)[0]:
        for kind in DARTS.kinds:
            left = np.array(counts(narrowing.alive, kind))
            for start, end in [(2, 5), (5, 9), (9, 14)]:
                node = left[start:end]
                assert (node == 0).sum() == (end - start - 2 if (node == 1).sum() == 2 else 0)
            assert (left == 1).sum() == (np.array(counts(moment.alive, kind)) == 1).sum() + 1


def test_the_edge_of_the_highest_score_takes_its_greatest_operation_but_never_none():
    alpha = logits_of(DARTS)
    for rows in alpha.values():
        rows[:, 0] += 3.0  # none outweighs all
        rows[6] = torch.tensor([0.0, 0, 0, 0, 0, 0, 9, 0])  # and yet this edge is important and certain
    narrowing = Greedy().narrowed(moment_of(DARTS, alpha=alpha, epoch=10))
    for kind in DARTS.kinds:
        assert counts(narrowing.alive, kind).index(1) == 6
        assert narrowing.alive[kind][6].argmax() == 6


def test_decided_edges_still_enter_the_normalisation_but_are_not_chosen_again():
    """Edge 6 stays the best by its frozen logits; the next best of the others follows."""
    alpha = logits_of(DARTS, seed=2)
    greedy = Greedy()
    first = greedy.narrowed(moment_of(DARTS, alpha=alpha, epoch=10))
    second = greedy.narrowed(moment_of(DARTS, alpha=alpha, epoch=15, alive=first.alive))
    for kind in DARTS.kinds:
        edges = Edges.of(moment_of(DARTS, alpha=alpha, alive=first.alive), kind)
        scores = greedy._scores(edges, ())
        torch.testing.assert_close(scores, greedy._scores(Edges.of(moment_of(DARTS, alpha=alpha), kind), ()))
        order = scores.argsort(descending=True).tolist()
        assert first.alive[kind][order[0]].sum() == 1
        assert second.alive[kind][order[1]].sum() == 1


def test_on_nas_bench_201_all_six_edges_are_decided_in_40_epochs_and_none_is_not_chosen():
    alpha = logits_of(CELL)
    alpha[""][:, 0] += 5
    found, alive = narrowings(Greedy(), CELL, epochs=40, alpha_at=lambda epoch: alpha)
    assert epochs_of(found) == [10, 15, 20, 25, 30, 35]
    assert counts(alive, "") == [1] * 6
    assert not alive[""][:, 0].any()


def test_none_may_be_chosen_where_it_outweighs_the_rest():
    alpha = logits_of(CELL)
    alpha[""][:3, 0] += 9
    _, alive = narrowings(Greedy(none_below=0.5), CELL, epochs=40, alpha_at=lambda epoch: alpha)
    assert alive[""][:, 0].tolist() == [True] * 3 + [False] * 3


def test_with_perturbation_the_edge_takes_what_is_missed_most():
    judge = Judge(DARTS, seed=7)
    plain = Greedy().narrowed(moment_of(DARTS, epoch=10))
    narrowing = Greedy(operation="perturbation").narrowed(moment_of(DARTS, epoch=10, evaluate=judge))
    assert len(judge.calls) == 2 * 7, "seven operations of one edge of each kind"
    for kind in DARTS.kinds:
        row = counts(narrowing.alive, kind).index(1)
        assert row == counts(plain.alive, kind).index(1), "edges are chosen as before"
        assert narrowing.alive[kind][row].argmax() == 1 + judge.worth[kind][row, 1:].argmax()


def test_a_search_that_is_cut_short_is_completed_by_magnitude():
    _, alive = narrowings(Greedy(), DARTS, epochs=20)
    moment = moment_of(DARTS, alive=alive)
    chosen = DARTS.alive_of(derived(DARTS, moment.theta, alive))
    for kind in DARTS.kinds:
        decided = np.flatnonzero(alive[kind].sum(1) == 1)
        assert (chosen[kind][decided] == alive[kind][decided]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "interval: 0 is below 1"),
        ({"history": 0}, "history: 0 is below 1"),
        ({"warmup": -1}, "warmup: -1 is negative"),
        ({"batch_size_step": -8}, "batch_size_step: -8 is negative"),
        ({"none_below": 1.5}, r"none_below: 1.5 is outside \[0, 1\]; give 0 for never"),
    ],
)
def test_what_greedy_cannot_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Greedy(**options)


def test_spaces_that_greedy_cannot_search_are_refused():
    [(field, message)] = Greedy().problems(S5.space)
    assert field == "criterion"
    assert message.startswith("edges are compared by the weight of 'none', which darts_s5 lacks")
    assert [name for name, _ in Greedy(none_below=0.5).problems(DARTS.space)] == ["none_below"]
    for layout in (DARTS, CELL, Layout(get_space("darts_s3"))):
        assert not list(Greedy().problems(layout.space))
    assert not list(Greedy(none_below=0.5).problems(CELL.space))
    assert Greedy().tuning_epochs(DARTS) == 0


# Stages


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_after_a_stage_every_edge_keeps_its_greatest_logits(dtype):
    alpha = logits_of(CELL, dtype=dtype)
    found, alive = narrowings(Stages(k=(2,)), CELL, epochs=100, alpha_at=lambda epoch: alpha)
    assert epochs_of(found) == [50]
    [(_, narrowing)] = found
    assert (narrowing.channels_divisor, narrowing.rest_epochs) == (2, 10)
    assert counts(alive, "") == [3] * 6
    order = alpha[""].argsort(1, descending=True)[:, :3]
    for row in range(6):
        assert sorted(order[row].tolist()) == np.flatnonzero(alive[""][row]).tolist()


def test_stages_follow_one_another():
    decision = Stages(epochs=(10, 20, 30), keep=(4, 3, 1), k=(4, 2, 1), warmup=5)
    found, alive = narrowings(decision, S5)
    assert epochs_of(found) == [10, 20, 30]
    assert [narrowing.channels_divisor for _, narrowing in found] == [4, 2, 1]
    for (_, narrowing), n in zip(found, (4, 3, 1), strict=True):
        assert counts(narrowing.alive, "normal") == counts(narrowing.alive, "reduce") == [n] * 14
    assert counts(alive, "normal") == [1] * 14


def test_of_equal_logits_the_first_stay_and_what_is_gone_stays_gone():
    alpha = {"": torch.zeros(6, 5)}
    alive = CELL.all_alive()
    alive[""][:, 1] = False
    alive[""][5] = False
    narrowing = Stages().narrowed(moment_of(CELL, alpha=alpha, alive=alive, epoch=50))
    assert narrowing.channels_divisor is None
    assert narrowing.alive[""][:5].tolist() == [[True, False, True, True, False]] * 5
    assert not narrowing.alive[""][5].any()


def test_one_operation_that_an_architecture_may_have_is_always_kept():
    alpha = logits_of(DARTS)
    for rows in alpha.values():
        rows[:, 0] = 9.0
    narrowing = Stages(keep=(1,)).narrowed(moment_of(DARTS, alpha=alpha, epoch=50))
    assert not narrowing.alive["normal"][:, 0].any()
    narrowing = Stages(keep=(2,)).narrowed(moment_of(DARTS, alpha=alpha, epoch=50))
    assert narrowing.alive["normal"][:, 0].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": ()}, r"epochs: \[\] do not rise from 1 or more"),
        ({"epochs": (50, 25), "keep": (3, 2)}, "epochs: .* do not rise"),
        ({"epochs": (0,)}, r"epochs: \[0\] do not rise"),
        ({"keep": (3, 2)}, "keep: .* has 2 stages; epochs has 1"),
        ({"keep": ()}, "keep: .* has 0 stages; epochs has 1"),
        ({"keep": (0,)}, "keep: .* does not fall, to 1 or more"),
        ({"k": (4, 2)}, "k: .* has 2 stages; epochs has 1"),
        ({"epochs": (5, 9), "keep": (3, 2), "k": (2, 4)}, "k: .* does not fall"),
        ({"warmup": -1}, "warmup: -1 is negative; give 0 for none"),
    ],
)
def test_stages_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Stages(**options)
