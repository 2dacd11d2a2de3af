"""The supernet of the DARTS space: published counts, its parts and sizes, what it leaves out."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from raynas.errors import InputError
from raynas.spaces import get_space
from raynas.supernets.cost import count_parameters
from raynas.supernets.darts_frame import CellInputs
from raynas.supernets.mixed_edge import MixedEdge
from raynas.supernets.mixing import Mixing, of_architecture
from raynas.supernets.operations import FactorizedReduce, Zero
from raynas.supernets.skeleton.darts import Darts

torch.set_num_threads(1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(space="darts", seed=0, *, channels=4, layers=3, stem="cifar", affine=False, **options):
    skeleton = Darts(channels=channels, layers=layers, stem=stem, affine=affine)
    return skeleton.supernet(
        get_space(space), **{"in_channels": 1, "n_classes": 5, "generator": seeded(seed)} | options
    )


def images(n=3, side=8):
    return torch.randn(n, 1, side, side, generator=seeded(9))


def candidates(supernet):
    edges = [module for module in supernet.modules() if isinstance(module, MixedEdge)]
    return [candidate for edge in edges for candidate in edge.candidates]


def all_dead(supernet):
    dead = {kind: np.zeros_like(rows) for kind, rows in supernet.layout.all_alive().items()}
    return Mixing({kind: torch.ones(rows.shape) for kind, rows in dead.items()}, dead)


# What is built


@pytest.mark.parametrize(
    ("space", "n_parameters"),
    [
        ("darts", 1_930_618),
        ("darts_s5", 1_930_618),
        ("darts_s1", 405_146),
        ("darts_s2", 665_466),
        ("darts_s3", 665_466),
        ("darts_s4", 624_506),
    ],
)
def test_parameters_are_as_many_as_in_the_published_code(space, n_parameters):
    supernet = Darts().supernet(get_space(space), in_channels=3, n_classes=10, generator=seeded())
    assert count_parameters(supernet) == n_parameters


def test_wrappers_stand_around_every_edge():
    """A quarter of the channels, as partial channels build: as many parameters as PC-DARTS."""

    class Quarter:
        def wrapped(self, shape, build):
            return build(replace(shape, channels=shape.channels // 4))

    supernet = Darts().supernet(
        get_space("darts"), in_channels=3, n_classes=10, generator=seeded(), wrappers=[Quarter()]
    )
    assert count_parameters(supernet) == 299_578


@pytest.mark.parametrize("layers", [3, 4, 8, 20])
def test_a_third_and_two_thirds_of_the_way_a_cell_halves_the_image_and_doubles_the_channels(layers):
    supernet, shapes = small("darts_s2", layers=layers), []
    for cell in supernet.cells:
        cell.register_forward_hook(lambda cell, inputs, output: shapes.append(tuple(output.shape[1:])))
    mixing = of_architecture(supernet.layout, supernet.layout.space.sample(np.random.default_rng(0)))
    supernet(images(side=12), mixing)
    due = []
    for layer in range(layers):
        halvings = (layer >= layers // 3) + (layer >= 2 * layers // 3)
        due.append((4 * 4 * 2**halvings, *(12 // 2**halvings,) * 2))
    assert shapes == due
    assert supernet.n_cells == {"normal": layers - 2, "reduce": 2}


def test_batch_norms_inside_cells_have_no_weights_and_those_of_the_stem_do():
    supernet = small()
    assert not any(norm.affine for norm in supernet.cells.modules() if isinstance(norm, nn.BatchNorm2d))
    assert supernet.stem.norm.affine


def test_affine_batch_norms_are_ones_and_zeros_beside_the_same_other_weights():
    plain, affine = small("darts_s1", affine=False), small("darts_s1", affine=True)
    norms = [norm for norm in affine.modules() if isinstance(norm, nn.BatchNorm2d)]
    assert all(norm.affine for norm in norms)
    n_outside = 2 * plain.stem.norm.num_features
    n_affine = sum(2 * norm.num_features for norm in norms)
    assert count_parameters(affine) == count_parameters(plain) + n_affine - n_outside
    state = affine.state_dict()
    assert all(torch.equal(part, state[name]) for name, part in plain.state_dict().items())
    mixing = of_architecture(plain.layout, plain.layout.space.sample(np.random.default_rng(0)))
    assert torch.equal(plain(images(), mixing), affine(images(), mixing))


def test_edges_from_the_inputs_of_a_reduction_have_stride_2_and_no_others():
    supernet = small()
    for kind, cell in zip(["normal", "reduce", "reduce"], supernet.cells, strict=True):
        for place, edge in zip(supernet.layout.edges[kind], cell.nodes.edges, strict=True):
            skip = edge.candidates[supernet.layout.names(kind, 0).index("skip_connect")]
            assert isinstance(skip, FactorizedReduce) == (kind == "reduce" and place.source < 2)


def test_an_input_from_before_a_reduction_is_halved_on_the_way_in():
    supernet = small("darts_s2", layers=6)  # reductions at 2 and 4
    inputs = [module for module in supernet.modules() if isinstance(module, CellInputs)]
    assert [isinstance(each.first, FactorizedReduce) for each in inputs] == [False] * 3 + [True, False, True]


@pytest.mark.parametrize("side", [7, 8, 9, 11, 15, 16, 17, 28, 33])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_images_of_any_size_pass(stem, side, random_mixing):
    supernet = small("darts_s1", stem=stem)
    assert supernet(images(side=side), random_mixing(supernet)).shape == (3, 5)
    assert supernet(images(side=side), all_dead(supernet)).shape == (3, 5)


def test_the_stem_of_imagenet_hands_over_a_quarter_and_an_eighth(random_mixing):
    supernet = small("darts_s2", stem="imagenet")
    quarter, eighth = supernet.stem(images(side=64))
    assert (quarter.shape, eighth.shape) == ((3, 4, 16, 16), (3, 4, 8, 8))
    assert isinstance(supernet.cells[0].inputs.first, FactorizedReduce)
    assert supernet(images(side=64), random_mixing(supernet)).shape == (3, 5)


def test_equal_generators_make_equal_supernets_and_the_global_random_state_has_no_part_in_it():
    before = torch.get_rng_state()
    first = small().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        same, other = small().state_dict(), small(seed=1).state_dict()
    assert first.keys() == same.keys()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["stem.convolution.weight"], other["stem.convolution.weight"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_computes_the_same_and_is_its_own(copied, random_mixing):
    supernet = small("darts_s1")
    mixing = random_mixing(supernet)
    twin = copied(supernet)
    due = supernet(images(), mixing)
    assert torch.equal(twin(images(), mixing), due)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert torch.equal(twin(images(), mixing), due)
    assert twin.layout.space.name == "darts_s1"


def test_a_space_of_another_kind_and_too_few_layers_are_refused():
    with pytest.raises(InputError, match="search space nas_bench_201: due are cells like those of DARTS"):
        small("nas_bench_201")
    with pytest.raises(ValueError, match="layers: 2 is below 3"):
        Darts(layers=2)
    with pytest.raises(ValueError, match="channels: 0 is below 1"):
        Darts(channels=0)


# What is left out


def test_each_living_operation_is_computed_once_and_nothing_of_none(random_mixing, counted):
    supernet = small("darts")
    calls = counted(candidates(supernet))
    supernet(images(), random_mixing(supernet))
    assert all(calls[one] == (not isinstance(one, Zero)) for one in candidates(supernet))


@pytest.mark.parametrize("space", ["darts", "darts_s1"])
def test_of_operations_that_are_not_alive_nothing_is_computed(space, counted):
    supernet = small(space)
    layout = supernet.layout
    architecture = layout.space.sample(np.random.default_rng(0))
    alive, calls = layout.alive_of(architecture), counted(candidates(supernet))
    supernet(images(), of_architecture(layout, architecture))
    for kind, cell in zip(["normal", "reduce", "reduce"], supernet.cells, strict=True):
        for row, edge in enumerate(cell.nodes.edges):
            found = [calls[candidate] for candidate in edge.candidates]
            assert found == alive[kind][row, : len(edge.candidates)].tolist()


def test_dead_operations_have_no_gradient_and_living_ones_do(random_mixing):
    supernet = small("darts_s2")
    mixing = random_mixing(supernet)
    alive = {kind: rows.copy() for kind, rows in mixing.alive.items()}
    alive["normal"][:, 1] = False
    theta = mixing.weights["normal"].requires_grad_()
    supernet(images(), replace(mixing, alive=alive)).square().sum().backward()
    assert (theta.grad[:, 1] == 0).all()
    assert (theta.grad[:, 0] != 0).all()
    assert all(p.grad is None for edge in supernet.cells[0].nodes.edges for p in edge.parameters())


def test_without_a_living_operation_the_logits_are_the_classifiers_biases(counted):
    supernet = small("darts")
    calls = counted(candidates(supernet))
    logits = supernet(images(side=9), all_dead(supernet))
    assert torch.equal(logits, supernet.head[-1].bias.expand(3, -1))
    assert not calls


def test_a_node_without_living_inputs_still_feeds_its_edges(random_mixing, counted):
    supernet = small("darts_s2")
    mixing = random_mixing(supernet)
    alive = {kind: rows.copy() for kind, rows in mixing.alive.items()}
    alive["reduce"][:2] = False  # both edges of node 2
    calls = counted(candidates(supernet))
    logits = supernet(images(), replace(mixing, alive=alive))
    assert logits.shape == (3, 5)
    assert calls[supernet.cells[1].nodes.edges[4].candidates[1]] == 1, "3<-2"
