"""Any trained network as a subject."""

from __future__ import annotations

import pytest
import torch
from subjects import small_network, small_subject
from torch import nn
from torch.nn import functional

from raynas.data.batches import EvaluationBatches
from raynas.data.dataset.digits import Digits
from raynas.data.device import resident
from raynas.errors import InputError
from raynas.flatness.metric.flatness import Flatness, flatness_value
from raynas.flatness.network import TrainedNetwork
from raynas.flatness.noise import Noise
from raynas.flatness.vector import Vector
from raynas.spaces import get_space
from raynas.supernets.mixing import of_architecture
from raynas.supernets.nas_bench_201 import NasBench201Network
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

NOISE = Noise((0.05, 0.1, 0.2))


def by_hand(network, weights, batches):
    """Mean loss of a copy of the network that has the weights, image by image."""
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    network.load_state_dict(dict(weights), strict=False)
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(images.to(logits_like(network))) for images, _ in batches])
        labels = torch.cat([labels for _, labels in batches])
        loss = functional.cross_entropy(logits, labels).item()
        accuracy = 100 * (logits.argmax(1) == labels).double().mean().item()
    network.load_state_dict(before, strict=False)
    network.train()
    return loss, accuracy


def logits_like(network):
    return next(network.parameters()).dtype


def test_losses_and_accuracy_are_means_over_all_images_in_evaluation_mode():
    network, _, batches = small_network(torch.float64)
    subject = TrainedNetwork(network, batches)
    levels = [subject.weights, *subject.perturbed(NOISE)]
    found, accuracy = subject.losses(levels), subject.accuracy_pct()
    due = [by_hand(network, weights, batches)[0] for weights in levels]
    assert found == pytest.approx(due, rel=1e-12), "batches are of different sizes"
    assert len(set(found)) == 4
    assert accuracy == pytest.approx(by_hand(network, subject.weights, batches)[1])


def test_how_the_images_are_put_into_batches_does_not_matter():
    network, _, batches = small_network(torch.float64)
    whole = [tuple(map(torch.cat, zip(*batches, strict=True)))]
    levels = TrainedNetwork(network, batches).perturbed(NOISE)
    one, other = (TrainedNetwork(network, each).losses(levels) for each in (batches, whole))
    assert one == pytest.approx(other, rel=1e-12)


def test_statistics_of_batch_norm_stay_those_of_the_trained_weights():
    network, initial, batches = small_network()
    with torch.no_grad():
        network.cell[0].running_mean += 3  # which a pass in training mode would undo
    moved = TrainedNetwork(network, batches).losses([initial])[0]
    assert moved != pytest.approx(small_subject().losses([initial])[0], rel=1e-3)
    assert moved == pytest.approx(by_hand(network, initial, batches)[0], rel=1e-5)


def test_a_part_that_was_in_evaluation_mode_stays_there_and_one_in_training_mode_too():
    network, _, batches = small_network()
    network.cell.eval()
    modes = [part.training for part in network.modules()]
    subject = TrainedNetwork(network, batches)
    subject.accuracy_pct(), subject.losses([subject.weights]), subject.loss(subject.weights)
    assert [part.training for part in network.modules()] == modes

    def broken():
        yield from batches
        raise RuntimeError("no more images")

    with pytest.raises(RuntimeError, match="no more images"):
        TrainedNetwork(network, broken()).losses([subject.weights])
    assert [part.training for part in network.modules()] == modes


def test_not_even_a_buffer_that_changes_in_evaluation_mode_is_changed():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return self.linear(x)

    network = Counting()
    subject = TrainedNetwork(network, [(torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1]))])
    Flatness().measure(subject, 0)
    assert network.calls == 0


def test_weights_that_a_network_uses_twice_move_in_both_places():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False)
            self.two = nn.Linear(3, 3, bias=False)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x))

    network, x, labels = Tied(), torch.eye(3), torch.arange(3)
    subject = TrainedNetwork(network, [(x, labels)])
    assert list(subject.weights) == ["one.weight"]
    other = torch.full((3, 3), 0.5).fill_diagonal_(2.0)
    due = functional.cross_entropy(x @ other.T @ other.T, labels).item()
    assert subject.losses([{"one.weight": other}])[0] == pytest.approx(due)


def test_the_loss_of_one_batch_can_be_differentiated_twice():
    subject = small_subject(torch.float64)
    leaves = {name: weight.clone().requires_grad_() for name, weight in subject.weights.items()}
    (slope,) = torch.autograd.grad(subject.loss(leaves), leaves["stem.weight"], create_graph=True)
    (curve,) = torch.autograd.grad(slope.square().sum(), leaves["stem.weight"])
    assert curve.abs().sum() > 0


def test_weights_that_are_not_given_are_the_networks_own():
    network, _, batches = small_network()
    part = {name: weight for name, weight in network.named_parameters() if name.startswith("cell")}
    all_of_them, some = TrainedNetwork(network, batches), TrainedNetwork(network, batches, weights=part)
    assert some.weights.keys() == part.keys()
    assert some.losses([some.weights]) == all_of_them.losses([all_of_them.weights])
    cells = Noise(NOISE.sigma, position="cells")
    whole = small_subject().losses(small_subject().perturbed(cells))
    assert some.losses(some.perturbed(NOISE)) == whole, "a weight's noise goes by its name"


def test_buffers_that_are_given_stand_in_for_the_networks():
    network, _, batches = small_network()
    buffers = {"cell.0.running_mean": network.cell[0].running_mean + 3}
    given = TrainedNetwork(network, batches, buffers=buffers)
    with torch.no_grad():
        network.cell[0].running_mean += 3
    assert given.losses([given.weights]) == TrainedNetwork(network, batches).losses([given.weights])


def test_a_supernet_is_called_with_its_mixing_weights():
    space = get_space("nas_bench_201")
    supernet = NasBench201(channels=4, cells=1).supernet(
        space, in_channels=1, n_classes=3, generator=torch.Generator().manual_seed(0)
    )
    mixing = of_architecture(supernet.layout, space.architecture((3, 1, 2, 0, 4, 3)))
    _, _, batches = small_network()
    subject = TrainedNetwork(supernet, batches, arguments=(mixing,))
    supernet.eval()
    with torch.no_grad():
        logits = torch.cat([supernet(images, mixing) for images, _ in batches])
        due = functional.cross_entropy(logits, torch.cat([labels for _, labels in batches])).item()
    assert subject.losses([subject.weights])[0] == pytest.approx(due, rel=1e-6)


def test_by_itself_the_vector_is_every_weight_once():
    subject = small_subject()
    assert subject.vector().times == dict.fromkeys(subject.weights, 1)
    assert not subject.vector().constants
    assert subject.products().keys() == subject.weights.keys()
    few = small_subject(vector=Vector({"stem.weight": 2}))
    assert few.products() == {"stem.weight": subject.products()["stem.weight"]}


def test_without_images_it_says_what_is_wrong():
    network, _, batches = small_network()
    for images in ([], iter(batches)):
        subject = TrainedNetwork(network, images)
        list(images)
        with pytest.raises(InputError, match=r"there are no images.*iterated anew"):
            subject.accuracy_pct()


def test_a_network_of_the_benchmark_is_measured_on_a_dataset():
    network = NasBench201Network(
        get_space("nas_bench_201").architecture((3, 1, 2, 0, 4, 3)),
        channels=4,
        cells=1,
        in_channels=1,
        generator=torch.Generator().manual_seed(0),
    )
    split = resident(Digits(), "cpu").valid
    subject = TrainedNetwork(network, EvaluationBatches(split, batch_size=64), name="digits")
    metric = Flatness((1e-2, 2e-2, 4e-2))
    found = metric.measure(subject, 0)
    losses = [found.metrics[f"perturbed_loss_{i}"] for i in (1, 2, 3)]
    assert found.value == flatness_value(losses, metric.sigma)
    with torch.no_grad():
        logits = network.eval()(split.normalized(split.images))
    right = (logits.argmax(1) == split.labels).sum().item()
    assert subject.accuracy_pct() == pytest.approx(100 * right / len(split))
