"""Sub-networks: their losses are those of the supernet perturbed and evaluated the plain way."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from raynas.data.batches import EvaluationBatches
from raynas.data.dataset.digits import Digits
from raynas.errors import InputError
from raynas.flatness.metric.accuracy import Accuracy
from raynas.flatness.metric.angle import Angle
from raynas.flatness.metric.flatness import Flatness
from raynas.flatness.noise import Noise, perturbed
from raynas.oneshot.recalibration import recalibrated
from raynas.oneshot.settings import Recalibration, Scoring
from raynas.oneshot.shared import in_cells
from raynas.oneshot.subnet import Scorer, _OfAnySkeleton, resident_scorer
from raynas.oneshot.trained import files
from raynas.spaces import get_space
from raynas.supernets.mixing import of_architecture
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

SPACE = get_space("nas_bench_201")
NOISE = Noise((2e-3, 1e-2, 1e-1))
RECALIBRATION = Recalibration(n_images=64, batch_size=16)
SMALL = NasBench201(4, cells=1, stages=2)


@dataclass(frozen=True)
class Mine(NasBench201):
    """A skeleton of a user's own."""


CASES = {
    "three networks abreast": ("nas_bench_201", NasBench201(8, cells=1, stages=1), (1, 8, 8)),
    "several stages": ("nas_bench_201", NasBench201(4, cells=2, stages=2), (3, 9, 7)),
    "one network at a time": ("nas_bench_201", NasBench201(16, cells=1, stages=2), (1, 8, 8)),
    "a user's own skeleton": ("nas_bench_201", Mine(4, cells=1, stages=2), (1, 8, 8)),
    "darts": ("darts", Darts(4, layers=3), (3, 9, 9)),
    "darts with affine norms": ("darts_s2", Darts(4, layers=3, affine=True), (1, 8, 8)),
    "darts on imagenet": ("darts_s3", Darts(16, layers=3, stem="imagenet", affine=True), (3, 17, 17)),
}


def plainly(trained, data, architecture, batches, recalibration, noise):
    """Mean loss under each level, by the whole supernet, perturbed and evaluated edge by edge."""
    supernet = trained.network()
    mixing = of_architecture(supernet.layout, architecture)
    statistics = recalibrated(supernet, mixing, batches, recalibration)
    found = []
    for level in perturbed(trained.weights, noise, in_cells=in_cells):
        supernet.load_state_dict({**level, **statistics})
        with torch.no_grad():
            logits = [
                (supernet(images, mixing), labels)
                for images, labels in EvaluationBatches(data.valid, batch_size=10)
            ]
        losses = torch.cat([functional.cross_entropy(*pair, reduction="none") for pair in logits])
        found.append(float(losses.double().mean()))
    return found


@pytest.mark.parametrize("mode", ["average", "ema"])
@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_a_perturbed_copy_of_the_supernet(case, mode, trained, images):
    name, skeleton, image_shape = CASES[case]
    space, rng = get_space(name), np.random.default_rng(0)
    supernet, data = trained(skeleton, name, image_shape=image_shape), images(image_shape=image_shape)
    recalibration = replace(RECALIBRATION, mode=mode)
    scorer = Scorer(supernet, data, Scoring(recalibration, batch_size=20))
    for _ in range(2):
        architecture = space.sample(rng)
        subnet = scorer.subnet(architecture)
        batches = scorer._shared._recalibration.batches(subnet.name)
        due = plainly(supernet, data, architecture, batches, recalibration, NOISE)
        assert subnet.losses(subnet.perturbed(NOISE)) == pytest.approx(due, rel=1e-5)


def test_what_candidates_share_changes_nothing(trained, images):
    """The same losses from a scorer that has seen other candidates, and from one that keeps nothing."""
    supernet, data, rng = trained(SMALL), images(), np.random.default_rng(0)
    scoring = Scoring(RECALIBRATION)
    kept, fresh = Scorer(supernet, data, scoring), Scorer(supernet, data, scoring)
    fresh._shared.beginnings = lambda *key: None
    for _ in range(20):
        architecture = SPACE.sample(rng)
        found = [
            (subnet.losses(subnet.perturbed(NOISE)), subnet.accuracy_pct())
            for subnet in (scorer.subnet(architecture) for scorer in (kept, fresh, kept))
        ]
        assert found[0] == found[1] == found[2]


def test_other_noise_and_other_weights_are_not_taken_for_what_is_kept(trained, images):
    supernet, data = trained(SMALL), images()
    subnet = Scorer(supernet, data, Scoring(RECALIBRATION)).subnet(SPACE.at(4242))
    noises = [NOISE, replace(NOISE, seed=1), replace(NOISE, position="cells"), replace(NOISE, mode="direct")]
    first = [subnet.losses(subnet.perturbed(noise)) for noise in noises]
    assert len(set(map(tuple, first))) == len(noises)
    assert [subnet.losses(subnet.perturbed(noise)) for noise in noises] == first
    # more noises than are kept
    for seed in range(10):
        subnet.losses(subnet.perturbed(replace(NOISE, seed=seed)))
    assert [subnet.losses(subnet.perturbed(noise)) for noise in noises] == first
    by_hand = [dict(level) for level in subnet.perturbed(NOISE)]
    assert subnet.losses(by_hand) == pytest.approx(first[0], abs=1e-6)
    doubled = [{name: 2 * part for name, part in subnet.weights.items()}]
    assert subnet.losses(doubled) != pytest.approx(first[0][:1], abs=1e-3)


@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
def test_the_size_of_batches_does_not_matter(batch_size, trained, images):
    supernet, data = trained(SMALL), images()
    due, found = (
        Scorer(supernet, data, Scoring(RECALIBRATION, batch_size=size)).subnet(SPACE.at(4242))
        for size in (48, batch_size)
    )
    assert found.losses(found.perturbed(NOISE)) == pytest.approx(due.losses(due.perturbed(NOISE)), abs=1e-6)
    assert found.accuracy_pct() == due.accuracy_pct()


def test_accuracy_is_the_share_of_images_that_are_right(trained, images):
    supernet, data = trained(SMALL), images()
    scorer = Scorer(supernet, data, Scoring(RECALIBRATION))
    subnet = scorer.subnet(SPACE.at(4242))
    network = supernet.network()
    mixing = of_architecture(network.layout, SPACE.at(4242))
    batches = scorer._shared._recalibration.batches("")
    network.load_state_dict(recalibrated(network, mixing, batches, RECALIBRATION), strict=False)
    with torch.no_grad():
        right = network(data.valid.normalized(data.valid.images), mixing).argmax(1) == data.valid.labels
    assert subnet.accuracy_pct() == pytest.approx(100 * float(right.double().mean()))


def test_an_image_whose_logits_are_no_numbers_is_wrong(trained, images):
    scorer = Scorer(trained(SMALL), images(), Scoring(RECALIBRATION))
    subnet = scorer.subnet(SPACE.at(4242))
    broken = {name: part * math.nan if "head" in name else part for name, part in subnet.weights.items()}
    assert math.isnan(subnet.losses([broken])[0])
    subnet.weights = broken
    assert subnet.accuracy_pct() == 0


def test_a_cell_that_leads_nowhere_answers_by_its_classifiers_biases(trained, images):
    supernet, data = trained(NasBench201(4, cells=1, stages=1)), images()
    subnet = Scorer(supernet, data, Scoring(RECALIBRATION)).subnet(SPACE.architecture([0] * 6))
    assert {name.partition(".")[0] for name in subnet.weights} == {"stem", "head"}
    shifted = functional.relu(supernet.weights["head.0.bias"])
    logits = supernet.weights["head.4.weight"] @ shifted + supernet.weights["head.4.bias"]
    due = functional.cross_entropy(logits.expand(len(data.valid), -1), data.valid.labels)
    assert subnet.losses([subnet.weights]) == pytest.approx([float(due)], abs=1e-6)


def test_only_weights_that_the_output_hangs_on_are_the_sub_networks_own(trained, images):
    text = "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"
    subnet = Scorer(trained(NasBench201(4, cells=1)), images()).subnet(SPACE.parse(text))
    inside = [name for name in subnet.weights if in_cells(name) and "edges" in name]
    assert inside == [f"body.{cell}.edges.3.candidates.2.1.weight" for cell in (0, 2, 4)]
    assert subnet.initial.keys() == subnet.weights.keys()
    assert not torch.equal(subnet.initial[inside[0]], subnet.weights[inside[0]])
    assert not subnet.in_cells("stem.0.weight")
    assert not subnet.in_cells("head.4.bias")


@pytest.mark.parametrize("case", ["several stages", "darts with affine norms"])
def test_the_loss_of_one_batch_has_the_gradients_of_the_supernet(case, trained, images):
    name, skeleton, image_shape = CASES[case]
    space = get_space(name)
    supernet, data = trained(skeleton, name, image_shape=image_shape), images(image_shape=image_shape)
    architecture = space.sample(np.random.default_rng(0))
    scorer = Scorer(supernet, data, Scoring(RECALIBRATION))
    subnet = scorer.subnet(architecture)
    weights = {name: part.clone().requires_grad_() for name, part in subnet.weights.items()}
    loss = subnet.loss(weights)
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)

    network = supernet.network()
    mixing = of_architecture(network.layout, architecture)
    batches = scorer._shared._recalibration.batches(subnet.name)
    network.load_state_dict(recalibrated(network, mixing, batches, RECALIBRATION), strict=False)
    plain = functional.cross_entropy(
        network(data.valid.normalized(data.valid.images), mixing), data.valid.labels
    )
    plain.backward()
    torch.testing.assert_close(loss, plain)
    named = dict(network.named_parameters())
    for name, gradient in zip(weights, gradients, strict=True):
        torch.testing.assert_close(gradient, named[name].grad, rtol=1e-3, atol=1e-6)
    twice = torch.autograd.grad(sum((g * g).sum() for g in gradients), list(weights.values()))
    assert all(part.isfinite().all() for part in twice)


def test_metrics_measure_a_sub_network_and_leave_the_supernet_as_it_was(trained, images):
    scorer = Scorer(trained(SMALL), images(), Scoring(RECALIBRATION))
    state = scorer._shared.network.state_dict()
    before = {name: part.clone() for name, part in state.items()}
    subnet = scorer.subnet(SPACE.at(4242))
    for metric in (Flatness(), Angle(), Accuracy(), Flatness(direction="hessian")):
        assert math.isfinite(metric.measure(subnet, 0).value)
    assert all(torch.equal(part, before[name]) for name, part in state.items())


def test_operations_that_draw_draw_the_same_for_every_level_and_leave_the_random_state(trained, images):
    """The search space S4 has an operation that gives noise."""
    space = get_space("darts_s4")
    supernet = trained(Darts(2, layers=3), "darts_s4")
    scorer = Scorer(supernet, images(), Scoring(RECALIBRATION))
    rng, noise = np.random.default_rng(0), space.operations.index("noise")
    architecture = next(a for a in iter(lambda: space.sample(rng), None) if noise in a.ops)
    state = torch.get_rng_state()
    subnet = scorer.subnet(architecture)
    one, two = subnet.losses([subnet.weights] * 2)
    assert one == two == scorer.subnet(architecture).losses([subnet.weights])[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_images_are_drawn_once_for_all(trained, images):
    supernet, data = trained(SMALL), images()
    scorers = [Scorer(supernet, data, Scoring(n_valid=20), seed=seed) for seed in (0, 0, 1)]
    first, same, other = (scorer._shared.valid.images for scorer in scorers)
    assert len(first) == 20
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert Scorer(supernet, data, Scoring(n_valid=10_000))._shared.valid is data.valid


def test_images_that_do_not_suit_the_supernet_are_refused(trained, images):
    supernet = trained(SMALL)
    with pytest.raises(
        InputError, match="10 classes of 1x8x8 images, and the dataset has 10 classes of 3x8x8"
    ):
        Scorer(supernet, images(image_shape=(3, 8, 8)))
    with pytest.raises(InputError, match="the dataset has 7 classes"):
        Scorer(supernet, images(n_classes=7))


def test_an_architecture_of_another_space_is_refused(trained, images):
    darts = get_space("darts")
    with pytest.raises(InputError, match="an architecture of darts was given to nas_bench_201"):
        Scorer(trained(SMALL), images()).subnet(darts.sample(np.random.default_rng(0)))


def test_a_skeleton_of_a_users_own_is_scored_too(trained, images):
    subnet = Scorer(trained(Mine(4, cells=1)), images(), Scoring(RECALIBRATION)).subnet(SPACE.at(4242))
    assert isinstance(subnet, _OfAnySkeleton)
    for metric in (Flatness(), Angle(), Accuracy()):
        assert math.isfinite(metric.measure(subnet, 0).value)


def test_a_scorer_is_made_once_a_process(trained, tmp_path):
    supernet = trained(SMALL)
    for name, content in files(supernet.about, supernet.initial, supernet.network()).items():
        (tmp_path / name).write_bytes(content)
    first = resident_scorer(str(tmp_path), Digits(), "cpu", Scoring(), seed=0)
    assert resident_scorer(str(tmp_path), Digits(), "cpu", Scoring(), seed=0) is first
    assert resident_scorer(str(tmp_path), Digits(), "cpu", Scoring(n_valid=5), seed=0) is not first
    assert first.about.fingerprint


@pytest.mark.parametrize(
    ("space", "skeleton"),
    [("nas_bench_201", SMALL), ("darts_s2", Darts(4, layers=3)), ("nas_bench_201", Mine(4, cells=1))],
)
def test_scores_in_bfloat16_are_about_those_in_float32(space, skeleton, trained, images):
    supernet, data = trained(skeleton, space), images()
    architecture = get_space(space).sample(np.random.default_rng(0))
    due, found = (
        Scorer(supernet, data, Scoring(RECALIBRATION, precision=precision)).subnet(architecture)
        for precision in ("float32", "bfloat16")
    )
    assert found.losses([found.weights]) == pytest.approx(due.losses([due.weights]), rel=0.02)
    assert found.losses([found.weights]) != due.losses([due.weights])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scores_on_a_gpu_are_those_on_the_cpu(precision, trained, tmp_path):
    supernet = trained(SMALL)
    for name, content in files(supernet.about, supernet.initial, supernet.network()).items():
        (tmp_path / name).write_bytes(content)
    losses = []
    for device, form in (("cpu", "float32"), ("cuda", precision)):
        scorer = resident_scorer(str(tmp_path), Digits(), device, Scoring(precision=form), seed=0)
        subnet = scorer.subnet(SPACE.at(4242))
        losses.append(subnet.losses(subnet.perturbed(NOISE)))
    assert losses[1] == pytest.approx(losses[0], abs=1e-4 if precision == "float32" else 0.05)
