"""The laws of every component of a differentiable search."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch
from searched import assert_equal, state

from raynas.data.dataset.digits import Digits
from raynas.data.device import resident
from raynas.differentiable.bilevel import Bilevel
from raynas.differentiable.method import SLOTS, Method
from raynas.differentiable.schedule import Progress
from raynas.lookup import available, find
from raynas.spaces import get_space
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

SPACE = get_space("nas_bench_201")
COMPONENTS = [(slot, name) for slot, marker in SLOTS.items() for name in available(marker.package)]
NEUTRAL = [
    (slot, name) for slot, name in COMPONENTS if getattr(find(SLOTS[slot].package, name), "neutral", None)
]

every_component = pytest.mark.parametrize(("slot", "name"), COMPONENTS, ids=lambda value: value)


def component(slot, name, **options):
    return find(SLOTS[slot].package, name)(**options)


def method_of(slot, made, **options):
    return Method(**{slot: (made,) if SLOTS[slot].many else made}, epochs=4, batch_size=16, **options)


def trained(method, *, epochs=1, seed=0):
    """Two steps an epoch on NAS-Bench-201's supernet of four channels."""
    supernet = NasBench201(channels=4, cells=1, stages=2).supernet(
        SPACE,
        in_channels=1,
        n_classes=10,
        generator=torch.Generator().manual_seed(seed),
        wrappers=method.mixed_op,
    )
    made = Bilevel(method, supernet, resident(Digits(), "cpu"), seed=seed, max_batches=2)
    for epoch in range(epochs):
        # not the first epoch, in which what fades in is neutral anyway
        made.train(Progress(epoch + 1, method.epochs), epoch, lr=0.025, rest=False)
    return made


@pytest.fixture(scope="module")
def plain():
    """State after two steps of DARTS at first order."""
    return state(trained(Method(epochs=4, batch_size=16)))


@pytest.mark.parametrize(("slot", "name"), NEUTRAL, ids=lambda value: value)
def test_at_its_neutral_value_a_component_changes_nothing_bit_for_bit(slot, name, plain):
    kind = find(SLOTS[slot].package, name)
    assert_equal(state(trained(method_of(slot, kind(**kind.neutral)))), plain)


@pytest.mark.parametrize(("slot", "name"), NEUTRAL, ids=lambda value: value)
def test_away_from_its_neutral_value_it_does_something(slot, name, plain):
    made = trained(method_of(slot, component(slot, name)))
    found = state(made)
    assert found.keys() != plain.keys() or any(
        tensor.shape != plain[key].shape or not torch.equal(tensor, plain[key])
        for key, tensor in found.items()
    )


@every_component
def test_the_same_seed_gives_the_same_search(slot, name):
    method = method_of(slot, component(slot, name))
    assert_equal(state(trained(method)), state(trained(method)))


@every_component
def test_a_search_goes_on_from_its_state_bit_for_bit(slot, name):
    method = method_of(slot, component(slot, name))
    whole = trained(method, epochs=2)
    half = trained(method, epochs=1)
    saved = pickle.loads(pickle.dumps(half.state_dict()))
    other = trained(method, epochs=1, seed=0)
    other.train(Progress(3, 4), 7, lr=0.1, rest=False)  # somewhere else, to be brought back
    other.load_state_dict(saved)
    other.train(Progress(2, 4), 1, lr=0.025, rest=False)
    assert_equal(state(other), state(whole))


@every_component
def test_it_is_a_frozen_value_that_survives_pickling(slot, name):
    made = component(slot, name)
    assert pickle.loads(pickle.dumps(made)) == made
    assert dataclasses.is_dataclass(made)
    for field in dataclasses.fields(made):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, None)


@every_component
def test_an_alpha_step_leaves_the_weights_alone_and_a_weight_step_the_parameters(slot, name):
    made = trained(method_of(slot, component(slot, name)), epochs=0)
    batch = next(iter(made._evaluation_batches()))
    train = (batch[0][:16], batch[1][:16])
    before = {key: tensor.clone() for key, tensor in state(made).items()}
    made._arch_turn(train, train, Progress(1, 4), (0, 0), None)
    for key, tensor in made.supernet.state_dict().items():
        assert torch.equal(tensor, before[key]), f"{key} was moved by an alpha-step"
    moved = {key: tensor.clone() for key, tensor in made.alpha.items()}
    assert name == "frozen" or any(not torch.equal(moved[key], before[key]) for key in moved)
    made.train(Progress(1, 4), 0, lr=0.025, rest=True)
    assert_equal(dict(made.alpha), moved)


@every_component
def test_its_documentation_names_its_source(slot, name):
    module = __import__(f"{SLOTS[slot].package}.{name}", fromlist=["_"])
    assert any(f"{year}" in module.__doc__ for year in range(1990, 2027))
