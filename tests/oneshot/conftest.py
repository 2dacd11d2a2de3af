"""What the tests of one-shot search share: supernets as if trained, and images for them."""

from __future__ import annotations

import pytest
import torch

from raynas.data.device import DeviceDataset, DeviceSplit
from raynas.data.images import Augmentation
from raynas.oneshot.about import About, plain
from raynas.oneshot.trained import TrainedSupernet
from raynas.spaces import get_space
from raynas.supernets.skeleton import SKELETONS


def about_of(skeleton, space, *, image_shape=(1, 8, 8), n_classes=10):
    space = get_space(space)
    return About(
        space=space.name,
        kind=space.kind,
        skeleton=plain(SKELETONS, skeleton),
        dataset={"name": "digits"},
        image_shape=image_shape,
        n_classes=n_classes,
        epochs=1,
        seed=0,
        share_across_cells=False,
        labels="true",
        fingerprint="",
    )


@pytest.fixture
def trained():
    """A supernet whose weights have moved: ``(skeleton, space, **of_about) -> TrainedSupernet``."""

    def make(skeleton, space="nas_bench_201", **of_about):
        about = about_of(skeleton, space, **of_about)
        supernet = skeleton.supernet(
            get_space(space),
            in_channels=about.image_shape[0],
            n_classes=about.n_classes,
            generator=torch.Generator().manual_seed(0),
        )
        draw = torch.Generator().manual_seed(1)
        initial = {name: part.detach() for name, part in supernet.named_parameters()}
        weights = {
            name: part + 0.1 * torch.randn(part.shape, generator=draw) for name, part in initial.items()
        }
        return TrainedSupernet(about, initial, weights, dict(supernet.named_buffers()))

    return make


@pytest.fixture
def images():
    """Random images: ``(n, image_shape, augmentation) -> DeviceDataset``, half as many to validate on."""

    def make(n=96, image_shape=(1, 8, 8), augmentation=None, n_classes=10):
        draw = torch.Generator().manual_seed(2)
        shift, divisor = (torch.full((image_shape[0], 1, 1), number) for number in (128.0, 64.0))

        def split(size):
            pixels = torch.randint(256, (size, *image_shape), generator=draw, dtype=torch.uint8)
            return DeviceSplit(pixels, torch.randint(n_classes, (size,), generator=draw), shift, divisor)

        return DeviceDataset(
            split(n), split(n // 2), split(4), n_classes, augmentation or Augmentation(flip=True, crop_pad=2)
        )

    return make
