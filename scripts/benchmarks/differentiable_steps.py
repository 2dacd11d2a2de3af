"""Seconds of one alpha-step and one w-step, and peak memory, of raynas against a plain eager implementation.

    python scripts/benchmarks/differentiable_steps.py [--space nas_bench_201 darts_s5]
        [--method darts a2m na pc_darts] [--device cpu] [--batch-size 64] [--channels 16] [--steps 3]
        [--cuda-graphs] ...

The baseline is ``textbook_supernets.py`` beside this file; A2M's four gradients and NA's ten neighbors are
taken one after another there. Both sides get the same batch, already on the device, and take their steps in
turns, so that a busy machine slows both alike; the medians are compared. Peak memory is that of a process of
its own for each side: the GPU's, or on a CPU the resident set, of which the imports are some 400 MB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from textbook_supernets import EPSILON, EPSILON_Q, N_NEIGHBORS, RHO, K, Textbook, TextbookDarts, TextbookNB201
from torch import Tensor, nn

from raynas.data.device import DeviceDataset, DeviceSplit
from raynas.data.images import UNCHANGED
from raynas.differentiable.arch_gradient.a2m import A2M
from raynas.differentiable.arch_gradient.neighborhood import Neighborhood
from raynas.differentiable.bilevel import Bilevel
from raynas.differentiable.cuda_graphs import cuda_graphs
from raynas.differentiable.losses import Tally
from raynas.differentiable.method import Method
from raynas.differentiable.mixed_op.partial_channels import PartialChannels
from raynas.differentiable.schedule import Progress
from raynas.spaces import get_space
from raynas.supernets.skeleton.darts import Darts
from raynas.supernets.skeleton.nas_bench_201 import NasBench201

METHODS = ("darts", "a2m", "na", "pc_darts")


class Ours:
    def __init__(self, bilevel: Bilevel) -> None:
        self.bilevel, self.count = bilevel, 0

    def parameters(self) -> Iterator[Tensor]:
        return self.bilevel.supernet.parameters()

    def alpha_step(self, images: Tensor, labels: Tensor) -> None:
        batch = (images, labels)
        self.bilevel._arch_turn(batch, batch, Progress(0, 50), (0, self.count), None)

    def weight_step(self, images: Tensor, labels: Tensor) -> None:
        batch, tally = (images, labels), Tally(images.device)
        self.bilevel._weight_turn(batch, batch, Progress(0, 50), (0, self.count), tally)
        self.count += 1


def ours(space_name: str, method: str, images: Tensor, labels: Tensor, arguments: argparse.Namespace) -> Ours:
    space = get_space(space_name)
    slots: dict = {"batch_size": len(images)}
    d = 6 if space.kind == "darts" else 2
    if method == "a2m":
        slots["arch_gradient"] = A2M(rho=RHO, epsilon=EPSILON)
    elif method == "na":
        slots["arch_gradient"] = Neighborhood(d=d, n_nbr=N_NEIGHBORS, epsilon_q=EPSILON_Q)
    elif method == "pc_darts":
        slots["mixed_op"] = (PartialChannels(k=K),)
    made = Method(**slots)
    skeleton = (
        Darts(channels=arguments.channels, layers=arguments.layers)
        if space.kind == "darts"
        else NasBench201(channels=arguments.channels, cells=arguments.cells)
    )
    supernet = skeleton.supernet(
        space, in_channels=3, n_classes=10, generator=torch.Generator().manual_seed(0), wrappers=made.mixed_op
    ).to(arguments.device)
    one = torch.ones(3, 1, 1, device=images.device)
    split = DeviceSplit(
        torch.zeros(8, 3, 32, 32, dtype=torch.uint8, device=images.device), labels[:8], one, one
    )
    data = DeviceDataset(split, split, split, 10, UNCHANGED)
    capturer = cuda_graphs(arguments.device) if arguments.cuda_graphs else None
    return Ours(Bilevel(made, supernet, data, seed=0, precision=arguments.precision, capturer=capturer))


def textbook(space_name: str, method: str, arguments: argparse.Namespace) -> Textbook:
    space = get_space(space_name)
    names = [space.operations[index] for index in space.edges[0].operations]
    k = K if method == "pc_darts" else 1
    if space.kind == "darts":
        network: nn.Module = TextbookDarts(names, arguments.channels, arguments.layers, k)
        shapes = {"normal": 14, "reduce": 14}
    else:
        network, shapes = TextbookNB201(names, arguments.channels, arguments.cells, k), {"": 6}
    return Textbook(network, shapes, len(names), method, arguments.device)


def timed(step: Callable[[Tensor, Tensor], None], images: Tensor, labels: Tensor) -> float:
    if images.is_cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    step(images, labels)
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak_mb(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    # not getrusage: a process inherits the peak of the one that started it
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def batch_of(arguments: argparse.Namespace, method: str) -> tuple[Tensor, Tensor]:
    size = arguments.batch_size or 64
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, 32, 32, generator=generator).to(arguments.device)
    return images, torch.randint(10, (size,), generator=generator).to(arguments.device)


def n_warm_up(arguments: argparse.Namespace) -> int:
    """Pairs of steps that do not count; a graph is captured in the fourth."""
    return 5 if arguments.cuda_graphs else 1


def memory(space: str, method: str, side: str, arguments: argparse.Namespace) -> float:
    """The peak over the warm-up and one more pair of steps, in a process of its own."""
    flags = [
        f"--{name.replace('_', '-')}={getattr(arguments, name)}"
        for name in ("device", "batch_size", "channels", "cells", "layers", "threads", "precision")
    ]
    flags += ["--cuda-graphs"] if arguments.cuda_graphs else []
    command = [sys.executable, __file__, "--space", space, "--method", method, "--only", side, *flags]
    return float(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def measure_memory(space: str, method: str, side: str, arguments: argparse.Namespace) -> float:
    images, labels = batch_of(arguments, method)
    made = (
        ours(space, method, images, labels, arguments)
        if side == "raynas"
        else textbook(space, method, arguments)
    )
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(n_warm_up(arguments) + 1):
        made.alpha_step(images, labels)
        made.weight_step(images, labels)
    return peak_mb(arguments.device)


def compare(space: str, method: str, arguments: argparse.Namespace) -> str:
    images, labels = batch_of(arguments, method)
    sides = {
        "textbook": textbook(space, method, arguments),
        "raynas": ours(space, method, images, labels, arguments),
    }
    weights = [sum(map(Tensor.numel, made.parameters())) for made in (sides["textbook"], sides["raynas"])]
    if weights[0] != weights[1]:
        raise RuntimeError(f"the two networks have {weights} weights; they are not the same network")
    seconds: dict[str, dict[str, list[float]]] = {side: {"alpha": [], "weights": []} for side in sides}
    for step in range(n_warm_up(arguments) + arguments.steps):
        for side, made in sides.items():
            alpha, weights = timed(made.alpha_step, images, labels), timed(made.weight_step, images, labels)
            if step >= n_warm_up(arguments):
                seconds[side]["alpha"].append(alpha)
                seconds[side]["weights"].append(weights)
    del sides
    medians = {
        side: {part: statistics.median(of) for part, of in parts.items()} for side, parts in seconds.items()
    }
    pair = {side: sum(parts.values()) for side, parts in medians.items()}
    cells = [space, method, str(len(images))]
    for side in ("textbook", "raynas"):
        cells += [f"{medians[side]['alpha']:.3f}", f"{medians[side]['weights']:.3f}"]
    cells.append(f"{pair['textbook'] / pair['raynas']:.2f}")
    cells += [f"{memory(space, method, side, arguments):.0f}" for side in ("textbook", "raynas")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", nargs="+", default=["nas_bench_201", "darts_s5"])
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "auto"])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cuda-graphs", action="store_true", help="raynas's passes captured; on a GPU")
    parser.add_argument("--only", choices=["raynas", "textbook"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cuda_graphs and not arguments.device.startswith("cuda"):
        parser.error("--cuda-graphs: there are none on a CPU; add --device cuda")
    torch.set_num_threads(arguments.threads)
    if arguments.only:
        print(json.dumps(measure_memory(arguments.space[0], arguments.method[0], arguments.only, arguments)))
        return
    graphs = ", CUDA graphs" if arguments.cuda_graphs else ""
    print(f"{arguments.device}, {arguments.threads} thread(s), {arguments.precision}{graphs}; s a step, MB")
    print("| space | method | batch | textbook alpha | w | raynas alpha | w | ratio | MB textbook | raynas |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for space in arguments.space:
        for method in arguments.method:
            print(compare(space, method, arguments), flush=True)


if __name__ == "__main__":
    main()
