"""Multiply-adds by a table of edges: those of the sub-network as it runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from raynas.oneshot.cost import SubnetFlops, subnet_flops
from raynas.spaces import get_space
from raynas.supernets.cost import count_flops
from raynas.supernets.darts import DartsNetwork
from raynas.supernets.mixing import of_architecture
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

CASES = {
    "nas_bench_201": ("nas_bench_201", NasBench201(4, cells=2, stages=3), (1, 8, 8)),
    "odd sizes": ("nas_bench_201", NasBench201(2, cells=1, stages=3), (3, 7, 9)),
    "darts": ("darts", Darts(4, layers=4), (3, 8, 8)),
    "darts, odd sizes": ("darts", Darts(4, layers=3, affine=True), (1, 9, 9)),
    "darts on imagenet": ("darts", Darts(4, layers=3, stem="imagenet"), (3, 65, 65)),
    "edges that differ": ("darts_s1", Darts(4, layers=3), (1, 8, 8)),
}


class Along(nn.Module):
    """A supernet along one architecture."""

    def __init__(self, supernet, architecture):
        super().__init__()
        self.supernet, self._mixing = supernet, of_architecture(supernet.layout, architecture)

    def forward(self, images):
        return self.supernet(images, self._mixing)


@pytest.mark.parametrize("case", CASES)
def test_the_table_adds_up_to_what_the_running_sub_network_counts(case):
    name, skeleton, image_shape = CASES[case]
    space, rng = get_space(name), np.random.default_rng(0)
    count = SubnetFlops(skeleton, space, image_shape, 10)
    supernet = skeleton.supernet(
        space, in_channels=image_shape[0], n_classes=10, generator=torch.Generator().manual_seed(0)
    )
    for _ in range(5):
        architecture = space.sample(rng)
        assert count.count(architecture) == count_flops(Along(supernet, architecture), image_shape)


def test_published_cells_cost_what_their_own_networks_do():
    space, rng = get_space("darts"), np.random.default_rng(1)
    architecture = space.sample(rng)
    alone = DartsNetwork(
        architecture, channels=4, layers=3, in_channels=1, generator=torch.Generator().manual_seed(0)
    )
    count = SubnetFlops(Darts(4, layers=3), space, (1, 8, 8), 10)
    assert count(architecture) == pytest.approx(count_flops(alone, (1, 8, 8)) / 1e6)


def test_without_a_skeleton_the_one_of_the_spaces_kind_is_taken():
    space = get_space("nas_bench_201")
    # NAS-Bench-201 itself: its largest and smallest cells have 220.12 and 7.78 million on CIFAR
    count = SubnetFlops(None, space, (3, 32, 32), 10)
    assert count(space.architecture([3] * 6)) == pytest.approx(220.12, abs=0.01)
    assert count(space.architecture([0] * 6)) == pytest.approx(7.78, abs=0.01)


def test_a_trained_supernets_table_is_made_once(trained):
    about = trained(NasBench201(4, cells=1)).about
    assert subnet_flops(about) is subnet_flops(about)
    architecture = get_space("nas_bench_201").at(77)
    due = SubnetFlops(NasBench201(4, cells=1), get_space("nas_bench_201"), (1, 8, 8), 10)
    assert subnet_flops(about)(architecture) == due(architecture)
