"""Trained networks to measure: made-up losses with closed forms, and a small real network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynas.flatness.network import TrainedNetwork
from raynas.flatness.noise import perturbed
from raynas.flatness.vector import Vector, products


@dataclass
class Landscape:
    """A subject whose loss is a function of its weights."""

    weights: Mapping[str, Tensor]
    function: Callable[[Mapping[str, Tensor]], Tensor]
    initial: Mapping[str, Tensor] | None = None
    accuracy: float = 50.0
    name: str = "a"
    made_of: Vector | None = None

    def in_cells(self, name):
        return name.startswith("cell")

    def perturbed(self, noise):
        return perturbed(self.weights, noise, in_cells=self.in_cells)

    def losses(self, levels):
        return [float(self.function(weights)) for weights in levels]

    def loss(self, weights):
        return self.function(weights)

    def accuracy_pct(self):
        return self.accuracy

    def vector(self):
        return Vector(dict.fromkeys(self.weights, 1)) if self.made_of is None else self.made_of

    def products(self):
        return products(self.initial, self.weights)


def constant(loss: float, **options) -> Landscape:
    """The same loss everywhere."""
    weights = {"w": torch.zeros(3, dtype=torch.float64)}
    return Landscape(weights, lambda weights: torch.tensor(loss, dtype=torch.float64), **options)


class Small(nn.Module):
    """Convolution, batch norm, dropout and a classifier; the middle is its cell."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.cell = nn.Sequential(
            nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False), nn.Dropout(0.5)
        )
        self.classifier = nn.Linear(4, 3)

    def forward(self, images):
        return self.classifier(self.cell(self.stem(images)).mean((2, 3)))


def small_network(dtype=torch.float32, seed: int = 0):
    """A small network trained a little, its weights from before, and batches of 8, 8 and 3 images.

    All numbers are drawn in float32, so that those of another format differ by rounding alone.
    """
    generator = torch.Generator().manual_seed(seed)
    network = Small()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
    images = torch.randn(19, 1, 6, 6, generator=generator)
    labels = torch.randint(3, (19,), generator=generator)
    network.to(dtype)
    initial = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network.cell[3].eval()  # dropout would draw from the global state
    for _ in range(5):
        optimizer.zero_grad()
        functional.cross_entropy(network(images.to(dtype)), labels).backward()
        optimizer.step()
    optimizer.zero_grad()
    network.train()
    return network, initial, list(zip(images.split(8), labels.split(8), strict=True))


def small_subject(dtype=torch.float32, seed: int = 0, **options) -> TrainedNetwork:
    """The small network as a subject."""
    network, initial, batches = small_network(dtype, seed)
    return TrainedNetwork(
        network, batches, initial=initial, in_cells=lambda name: name.startswith("cell"), **options
    )
