"""The textbook form of the DARTS family: supernets of two search spaces and both steps, plain and eager.

Written as papers and common teaching code present them, with nothing of raynas in it: every candidate of
every edge a module of its own, ``none`` computed as zeros, all summed by their weights; contiguous tensors;
one ``backward()`` for all gradients, in alpha-steps, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

N_NEIGHBORS, EPSILON_Q, RHO, EPSILON, K = 10, 0.1, 0.01, 0.01, 4


def relu_conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(c_out, affine=False),
    )


def depthwise(channels: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> list[nn.Module]:
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=False),
    ]


class Zeros(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride].mul(0.0)


class Reduce(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.second = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x)
        return self.norm(torch.cat([self.first(x), self.second(x[:, :, 1:, 1:])], dim=1))


def candidate(name: str, channels: int, stride: int, *, pool_norm: bool) -> nn.Module:
    match name:
        case "none":
            return Zeros(stride)
        case "skip_connect":
            return nn.Identity() if stride == 1 else Reduce(channels, channels)
        case "nor_conv_1x1":
            return relu_conv_bn(channels, channels, 1)
        case "nor_conv_3x3":
            return relu_conv_bn(channels, channels, 3, padding=1)
        case "avg_pool_3x3" | "max_pool_3x3":
            pool: nn.Module = nn.MaxPool2d(3, stride, 1)
            if name.startswith("avg"):
                pool = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
            return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False)) if pool_norm else pool
        case "sep_conv_3x3" | "sep_conv_5x5":
            size = int(name[-1])
            return nn.Sequential(
                *depthwise(channels, size, stride, size // 2), *depthwise(channels, size, 1, size // 2)
            )
        case "dil_conv_3x3" | "dil_conv_5x5":
            size = int(name[-1])
            return nn.Sequential(*depthwise(channels, size, stride, size - 1, 2))
    raise ValueError(name)


class Mixed(nn.Module):
    def __init__(self, names: list[str], channels: int, stride: int, *, pool_norm: bool, k: int) -> None:
        super().__init__()
        self.k, self.stride, self.width = k, stride, channels // k
        self.ops = nn.ModuleList(candidate(name, self.width, stride, pool_norm=pool_norm) for name in names)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        if self.k == 1:
            return sum(w * op(x) for w, op in zip(weights, self.ops, strict=True))
        some, rest = x[:, : self.width], x[:, self.width :]
        mixed = sum(w * op(some) for w, op in zip(weights, self.ops, strict=True))
        rest = rest if self.stride == 1 else functional.max_pool2d(rest, 2)
        joined = torch.cat([mixed, rest], dim=1)
        n, c, h, w = joined.shape
        return joined.view(n, self.k, c // self.k, h, w).transpose(1, 2).reshape(n, c, h, w)


class TextbookNB201(nn.Module):
    def __init__(self, names: list[str], channels: int, cells: int, k: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.blocks = nn.ModuleList()
        for stage in range(3):
            width = channels * 2**stage
            if stage:
                self.blocks.append(TextbookResidual(width // 2, width))
            for _ in range(cells):
                self.blocks.append(
                    nn.ModuleList(Mixed(names, width, 1, pool_norm=False, k=k) for _ in range(6))
                )
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = nn.Linear(width, 10)

    def forward(self, x: Tensor, thetas: dict[str, Tensor], betas: dict[str, Tensor] | None) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            if isinstance(block, TextbookResidual):
                x = block(x)
                continue
            nodes, row = [x], 0
            for target in range(1, 4):
                terms = []
                for source in range(target):
                    term = block[row](nodes[source], thetas[""][row])
                    terms.append(term if betas is None else betas[""][row] * term)
                    row += 1
                nodes.append(sum(terms))
            x = nodes[-1]
        return self.classifier(self.last(x).mean((2, 3)))


class TextbookResidual(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.short = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.short(x) + self.body(x)


class TextbookDarts(nn.Module):
    def __init__(self, names: list[str], channels: int, layers: int, k: int) -> None:
        super().__init__()
        width = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        before, last, after_reduction = width, width, False
        self.cells = nn.ModuleList()
        self.kinds: list[str] = []
        for layer in range(layers):
            reduce = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduce else 1
            cell = nn.ModuleDict()
            cell["first"] = Reduce(before, channels) if after_reduction else relu_conv_bn(before, channels, 1)
            cell["second"] = relu_conv_bn(last, channels, 1)
            cell["edges"] = nn.ModuleList(
                Mixed(names, channels, 2 if reduce and source < 2 else 1, pool_norm=True, k=k)
                for target in range(4)
                for source in range(2 + target)
            )
            self.cells.append(cell)
            self.kinds.append("reduce" if reduce else "normal")
            before, last, after_reduction = last, 4 * channels, reduce
        self.classifier = nn.Linear(last, 10)

    def forward(self, x: Tensor, thetas: dict[str, Tensor], betas: dict[str, Tensor] | None) -> Tensor:
        first = second = self.stem(x)
        for kind, cell in zip(self.kinds, self.cells, strict=True):
            nodes, row = [cell["first"](first), cell["second"](second)], 0
            for target in range(4):
                terms = []
                for source in range(2 + target):
                    term = cell["edges"][row](nodes[source], thetas[kind][row])
                    terms.append(term if betas is None else betas[kind][row] * term)
                    row += 1
                nodes.append(sum(terms))
            first, second = second, torch.cat(nodes[2:], dim=1)
        return self.classifier(second.mean((2, 3)))


def perturbed(theta: Tensor, d: int) -> Tensor:
    rows = torch.randperm(len(theta))[:d].to(theta.device)
    changed = theta.clone()
    noise = torch.rand(d, theta.shape[1], device=theta.device) * 2 * EPSILON_Q - EPSILON_Q
    moved = (theta[rows] + torch.maximum(noise, -theta[rows].detach())).clamp(min=1e-12)
    changed[rows] = moved / moved.sum(1, keepdim=True)
    return changed


class Textbook:
    """Both steps with one ``backward()`` for everything."""

    def __init__(
        self, network: nn.Module, shapes: dict[str, int], columns: int, method: str, device: str
    ) -> None:
        self.network, self.method = network.to(device).train(), method
        self.groups = [2, 3, 4, 5] if "reduce" in shapes else [1, 2, 3]
        self.alpha = {
            kind: (1e-3 * torch.randn(rows, columns, device=device)).requires_grad_()
            for kind, rows in shapes.items()
        }
        self.beta = None
        if method == "pc_darts":
            self.beta = {
                kind: (1e-3 * torch.randn(rows, device=device)).requires_grad_()
                for kind, rows in shapes.items()
            }
        tensors = [*self.alpha.values(), *(self.beta or {}).values()]
        self.adam = torch.optim.Adam(tensors, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        self.sgd = torch.optim.SGD(network.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4)
        self.d = 6 if "reduce" in shapes else 2

    def parameters(self) -> Iterator[Tensor]:
        return self.network.parameters()

    def loss(self, images: Tensor, labels: Tensor, d: int = 0) -> Tensor:
        thetas = {kind: torch.softmax(rows, 1) for kind, rows in self.alpha.items()}
        if d:
            thetas = {kind: perturbed(theta, d) for kind, theta in thetas.items()}
        betas = None
        if self.beta is not None:
            betas = {
                kind: torch.cat([torch.softmax(part, 0) for part in rows.split(self.groups)])
                for kind, rows in self.beta.items()
            }
        return functional.cross_entropy(self.network(images, thetas, betas), labels)

    def gradients(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.adam.zero_grad()
        self.sgd.zero_grad()
        self.loss(images, labels).backward()
        return {kind: rows.grad.clone() for kind, rows in self.alpha.items()}

    def move(self, direction: dict[str, Tensor], by: float) -> None:
        with torch.no_grad():
            for kind, rows in self.alpha.items():
                rows += by * direction[kind]

    def alpha_step(self, images: Tensor, labels: Tensor) -> None:
        if self.method == "a2m":
            first = self.gradients(images, labels)
            self.move(first, RHO)
            second = self.gradients(images, labels)
            self.move(second, EPSILON)
            up = self.gradients(images, labels)
            self.move(second, -2 * EPSILON)
            down = self.gradients(images, labels)
            self.move(second, EPSILON)
            self.move(first, -RHO)
            for kind, rows in self.alpha.items():
                rows.grad = second[kind] + RHO * (up[kind] - down[kind]) / (2 * EPSILON)
        else:
            self.adam.zero_grad()
            self.sgd.zero_grad()
            neighbors = N_NEIGHBORS if self.method == "na" else 1
            for number in range(neighbors):
                (self.loss(images, labels, self.d if number else 0) / neighbors).backward()
        self.adam.step()

    def weight_step(self, images: Tensor, labels: Tensor) -> None:
        self.sgd.zero_grad()
        self.loss(images, labels).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.sgd.step()
