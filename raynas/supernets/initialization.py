"""Network weights from a generator of one's own.

PyTorch's constructors draw from the global random state, where whatever else the process does shifts the
weights. Networks are therefore built on the ``meta`` device, which draws nothing, and filled here.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def materialize(module: M, generator: torch.Generator) -> M:
    """Gives a module built under ``torch.device("meta")`` its memory, on the CPU, and its first weights.

    The distributions are PyTorch's defaults: convolution and linear weights uniform in +-1/sqrt(fan_in),
    their biases likewise, batch norm the identity with statistics (0, 1). Weights are drawn in the order in
    which the modules were registered. A module with a method ``first_weights`` fills its tensors by it, and
    nothing is drawn.

    Args:
        module: Convolutions, linear layers, batch norms, modules with ``first_weights`` and modules without
            tensors of their own.
        generator: A CPU generator.

    Raises:
        TypeError: Another module has tensors of its own, which would be left as they come.
    """
    module.to_empty(device="cpu")
    for name, part in module.named_modules():
        if hasattr(part, "first_weights"):
            part.first_weights()
        elif isinstance(part, nn.Conv2d | nn.Linear):
            _draw(part, generator)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()
        elif [*part.parameters(recurse=False), *part.buffers(recurse=False)]:
            raise TypeError(
                f"{name or 'the module'}: a {type(part).__name__} has no rule for its first weights"
            )
    return module


def _draw(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        bound = 1 / math.sqrt(layer.weight[0].numel())
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
