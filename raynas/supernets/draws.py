"""What a network draws at random in its forward pass, and from where.

The ``noise`` operation and drop path draw as PyTorch's own dropout does: from the random state of the device
that they run on. Inside ``drawn_from`` that is a stream of the caller's own: two forward passes can see the
same draws, a resumed run sees those that it would have seen, and nothing else in the process shifts them.

A note on design choices: a generator owned by each module would make a forward pass depend on all those
before it, and one passed down would be an argument of every module in between for the sake of two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def drawn_from(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Random draws on a device come from a stream of their own; its random state is left as it was.

    Args:
        seed: Of the stream; see ``raynas.seeding.derive``.
        device: Where the forward passes run.
    """
    generator = _default_generator(torch.device(device))
    state = generator.get_state()
    try:
        generator.manual_seed(seed)
        yield
    finally:
        generator.set_state(state)


def draws_at_random(work: Callable[[], object], device: str | torch.device = "cpu") -> bool:
    """Whether a piece of work draws at random on a device, whose random state is left as it was.

    Args:
        work: Is done once.
        device: Where it runs.
    """
    with drawn_from(0, device):
        generator = _default_generator(torch.device(device))
        before = generator.get_state()
        work()
        return not torch.equal(generator.get_state(), before)


def drop_path(x: Tensor, probability: float) -> Tensor:
    """Drops whole images from a path and scales up those that stay (Larsson et al., ICLR 2017; DARTS).

    Args:
        x: ``(n, ...)``, one entry an image.
        probability: That an image is dropped, in [0, 1); 0 gives ``x`` and draws nothing.

    Raises:
        ValueError: The probability is outside.
    """
    if not 0 <= probability < 1:
        raise ValueError(f"drop path: probability {probability} is outside [0, 1)")
    if probability == 0:
        return x
    stays = x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(1 - probability)
    return x * (stays / (1 - probability))


def _default_generator(device: torch.device) -> torch.Generator:
    if device.type != "cuda":
        return torch.default_generator
    torch.cuda.init()  # type: ignore[no-untyped-call]  # without it there are no generators yet
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
