"""Seconds to score a candidate of a one-shot supernet by flatness, against the way of GeNAS's released code.

    python scripts/benchmarks/subnet_scoring.py [--size digits small cifar darts] [--candidates 8] ...

The other side is written plainly, as that code goes about it: for every candidate it copies the whole
supernet, recalibrates batch norms with 14 batches of 64, adds fresh noise to all of its weights level after
level, and passes all validation images in batches of 64, each image cut, mirrored and normalised anew on the
host, one operation after the other along the path. Both sides see the same number of images and levels. What
all candidates share ours has made before the clock starts, as over thousands of them; random numbers make up
the weights, and the images of the larger sizes. The sides take turns, and medians are compared. Before that,
losses under the same noise and statistics are compared with the supernet's own.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.data.dataset.digits import Digits
from raynas.data.device import DeviceDataset, on_device
from raynas.data.images import Augmentation, ImageDataset, Split
from raynas.flatness.metric.flatness import Flatness
from raynas.flatness.noise import Noise, perturbed
from raynas.oneshot.about import About
from raynas.oneshot.settings import Recalibration, Scoring
from raynas.oneshot.shared import in_cells
from raynas.oneshot.subnet import Scorer
from raynas.oneshot.trained import TrainedSupernet
from raynas.spaces import Architecture, get_space
from raynas.supernets.mixed_cell import MixedCell
from raynas.supernets.mixing import of_architecture
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

SIGMA = (2e-3, 1e-2, 2e-2)
BATCH, N_RECALIBRATION = 64, 850


@dataclass(frozen=True)
class Size:
    """A supernet and the images it is scored on."""

    space: str
    skeleton: NasBench201 | Darts
    side: int
    n_valid: int

    def images(self) -> ImageDataset:
        if self.side == 8:
            return Digits().load()
        rng = np.random.default_rng(0)

        def split(n: int) -> Split:
            return Split(rng.integers(0, 256, (n, 3, self.side, self.side), np.uint8), rng.integers(0, 10, n))

        parts = {"train": split(N_RECALIBRATION + BATCH), "valid": split(self.n_valid), "test": split(1)}
        half = (0.5,) * 3
        return ImageDataset(
            **parts,
            mean=half,
            std=half,
            n_classes=10,
            augmentation=Augmentation(flip=True, crop_pad=4),
            scale=255.0,
        )


SIZES = {
    "digits": Size("nas_bench_201", NasBench201(8, cells=1, stages=1), 8, 500),
    "small": Size("nas_bench_201", NasBench201(8, cells=2, stages=3), 16, 512),
    "cifar": Size("nas_bench_201", NasBench201(16, cells=5, stages=3), 32, 512),
    "darts": Size("darts", Darts(16, layers=8, affine=True), 32, 256),
}


def untrained(size: Size, data: DeviceDataset) -> TrainedSupernet:
    network = size.skeleton.supernet(
        get_space(size.space),
        in_channels=data.image_shape[0],
        n_classes=data.n_classes,
        generator=torch.Generator().manual_seed(0),
    )
    name = "darts" if isinstance(size.skeleton, Darts) else "nas_bench_201"
    fields = {key: getattr(size.skeleton, key) for key in size.skeleton.__dataclass_fields__}
    about = About(
        space=size.space,
        kind=get_space(size.space).kind,
        skeleton={"name": name, **fields},
        dataset={"name": "digits"},
        image_shape=data.image_shape,
        n_classes=data.n_classes,
        epochs=0,
        seed=0,
        share_across_cells=False,
        labels="true",
        fingerprint="none",
    )
    weights = {key: tensor.detach() for key, tensor in network.named_parameters()}
    return TrainedSupernet(about, weights, weights, dict(network.named_buffers()))


class Released:
    """The other side.

    Args:
        network: The supernet.
        images: As they lie on the host.
        device: Where to compute.
    """

    def __init__(self, network: nn.Module, images: ImageDataset, device: str) -> None:
        for part in network.modules():
            if isinstance(part, MixedCell):
                part._fusible = False  # one operation after the other
        self.network, self.images, self.device = network.to(device), images, device
        self.rng = np.random.default_rng(0)

    def losses(self, architecture: Architecture) -> list[float]:
        network = copy.deepcopy(self.network)
        mixing = of_architecture(network.layout, architecture, device=self.device)
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.reset_running_stats()
        network.train()
        order = self.rng.permutation(len(self.images.train.labels))
        found, before = [], 0.0
        with torch.no_grad():
            for start in range(0, min(N_RECALIBRATION, len(order) // BATCH * BATCH), BATCH):
                network(
                    self.decoded(self.images.train, order[start : start + BATCH], augment=True)[0], mixing
                )
            network.eval()
            for sigma in SIGMA:
                for weight in network.parameters():
                    weight.add_(torch.randn_like(weight) * (sigma - before))
                before = sigma
                means = []
                for start in range(0, len(self.images.valid.labels), BATCH):
                    now = np.arange(start, min(start + BATCH, len(self.images.valid.labels)))
                    images, labels = self.decoded(self.images.valid, now, augment=False)
                    means.append(functional.cross_entropy(network(images, mixing), labels).item())
                found.append(sum(means) / len(means))
        return found

    def decoded(self, split: Split, rows: np.ndarray, *, augment: bool) -> tuple[Tensor, Tensor]:
        mean = np.array(self.images.mean, np.float32)[:, None, None]
        std = np.array(self.images.std, np.float32)[:, None, None]
        pad = self.images.augmentation.crop_pad if augment else 0
        made = []
        for image in split.images[rows]:
            pixels = image.astype(np.float32) / self.images.scale
            if augment and self.images.augmentation.flip and self.rng.random() < 0.5:
                pixels = pixels[:, :, ::-1]
            if pad:
                height, width = pixels.shape[1:]
                top, left = self.rng.integers(0, 2 * pad + 1, 2)
                padded = np.pad(pixels, ((0, 0), (pad, pad), (pad, pad)))
                pixels = padded[:, top : top + height, left : left + width]
            made.append((pixels - mean) / std)
        labels = torch.from_numpy(split.labels[rows].astype(np.int64))
        return torch.from_numpy(np.stack(made)).to(self.device), labels.to(self.device)


def check(trained: TrainedSupernet, scorer: Scorer, data: DeviceDataset, architecture: Architecture) -> float:
    """Greatest relative difference of a loss from the plain form's under the same noise and statistics."""
    subnet = scorer.subnet(architecture)
    noise = Noise(SIGMA)
    ours = subnet.losses(subnet.perturbed(noise))
    network = trained.network().to(data.valid.device)
    mixing = of_architecture(network.layout, architecture, device=str(data.valid.device))
    images, labels = data.valid.normalized(data.valid.images), data.valid.labels
    differences = []
    for level, loss in zip(perturbed(trained.weights, noise, in_cells=in_cells), ours, strict=True):
        network.load_state_dict({**trained.buffers, **level, **subnet.statistics})
        with torch.no_grad():
            plain = functional.cross_entropy(network(images, mixing), labels).item()
        differences.append(abs(plain / loss - 1))
    return max(differences)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| size | images | released code's way (s) | raynas (s) | ratio | greatest difference of a loss |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in arguments.size:
        size = SIZES[name]
        images = size.images()
        data = on_device(images, arguments.device)
        trained = untrained(size, data)
        scorer = Scorer(trained, data, Scoring(Recalibration(N_RECALIBRATION, BATCH)))
        released = Released(trained.network(), images, arguments.device)
        space, rng = get_space(size.space), np.random.default_rng(0)
        first, *candidates = [space.sample(rng) for _ in range(arguments.candidates + 1)]
        difference = check(trained, scorer, data, first)
        Flatness(SIGMA).measure(scorer.subnet(first), 0)
        seconds: list[list[float]] = [[], []]
        for candidate in candidates:
            started = time.perf_counter()
            released.losses(candidate)
            between = time.perf_counter()
            Flatness(SIGMA).measure(scorer.subnet(candidate), 0)
            seconds[0].append(between - started)
            seconds[1].append(time.perf_counter() - between)
        theirs, ours = map(statistics.median, seconds)
        print(
            f"| {name} | {len(data.valid)} of {size.side}x{size.side} | {theirs:.3f} | {ours:.3f} | "
            f"{theirs / ours:.1f} | {difference:.1e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
