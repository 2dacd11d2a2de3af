"""Zero-cost proxies of many architectures: the same first weights, the same batch, one network at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raynas.data.batches import TrainingBatches
from raynas.data.device import DeviceDataset, resident
from raynas.data.images import DatasetSpec
from raynas.lookup import build
from raynas.predictors.zero_cost import ZERO_COST, Proxy
from raynas.seeding import derive
from raynas.spaces import Architecture
from raynas.supernets.nas_bench_201 import NasBench201Network
from raynas.supernets.threads import threads

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """What proxies say of architectures.

    Attributes:
        scores: ``(repeats, n_architectures)``, by the proxy's name.
        seconds: ``(repeats, n_architectures)`` that each took, by the proxy's name, without the building of
            the network: of the processor on a CPU, of the clock elsewhere.
    """

    scores: dict[str, Floats]
    seconds: dict[str, Floats]


def score_architectures(
    names: Sequence[str],
    architectures: Sequence[Architecture],
    dataset: DatasetSpec,
    *,
    channels: int = 16,
    cells: int = 5,
    stages: int = 3,
    batch_size: int = 32,
    seed: int = 0,
    device: str = "cpu",
    repeats: int = 1,
    n_threads: int = 1,
    progress: Callable[[str], None] = lambda what: None,
) -> Scored:
    """Scores architectures by NAS-Bench-201's networks of them, at their first weights.

    In each repeat all networks draw their weights from generators in the same state, and see the same batch.

    Args:
        names: Proxies of ``raynas.predictors.zero_cost``, or ``package.module:Class``.
        architectures: Cells like those of NAS-Bench-201.
        dataset: Whose training images the batch is of, augmented as is its custom.
        channels: Channels of the first stage.
        cells: Cells a stage.
        stages: Stages.
        batch_size: Images of the batch.
        seed: Of all draws.
        device: As torch writes it.
        repeats: Batches, each with other weights.
        n_threads: Of PyTorch while this runs; for small networks on a CPU one is the fastest.
        progress: Told of each tenth of the work.

    Raises:
        InputError: There is no such proxy, a file of the dataset is missing, or an architecture is not one of
            a NAS-Bench-201-like cell.
        ValueError: A number is below 1, or the batch is larger than the training set.
    """
    if not names or min(repeats, n_threads) < 1:
        raise ValueError(
            f"names: {list(names)}, repeats: {repeats}, n_threads: {n_threads}; due are 1 or more"
        )
    proxies: dict[str, Proxy] = {name: build(ZERO_COST, name) for name in names}
    data = resident(dataset, device)  # type: ignore[arg-type] # a spec is frozen, so it is hashable
    made = Scored(*({name: np.empty((repeats, len(architectures))) for name in names} for _ in range(2)))
    clock = time.process_time if torch.device(device).type == "cpu" else time.perf_counter
    tenth = -(-repeats * len(architectures) // 10)
    with threads(n_threads):
        for repeat in range(repeats):
            images, labels = _batch(data, batch_size, seed, repeat)
            for place, architecture in enumerate(architectures):
                if (done := repeat * len(architectures) + place) % tenth == 0 and done:
                    progress(f"scored {done:,} of {repeats * len(architectures):,} networks")
                network = NasBench201Network(
                    architecture,
                    channels=channels,
                    cells=cells,
                    stages=stages,
                    in_channels=data.image_shape[0],
                    n_classes=data.n_classes,
                    generator=_generator(seed, repeat, "weights"),
                ).to(device)
                for name, proxy in proxies.items():
                    generator = _generator(seed, repeat, name)
                    started = clock()
                    made.scores[name][repeat, place] = proxy.score(
                        network, images, labels, generator=generator
                    )
                    made.seconds[name][repeat, place] = clock() - started
    return made


def _batch(data: DeviceDataset, batch_size: int, seed: int, repeat: int) -> tuple[Tensor, Tensor]:
    batches = TrainingBatches(
        data.train,
        batch_size=batch_size,
        order_seed=derive(seed, "zero_cost", repeat, "batch"),
        augmentation=data.augmentation,
        augmentation_seed=derive(seed, "zero_cost", repeat, "augmentation"),
        drop_last=True,
    )
    return next(iter(batches))


def _generator(seed: int, repeat: int, use: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, "zero_cost", repeat, use))
