"""The layers that count: all that is a ``Conv2d`` or a ``Linear``, by their weights and without biases."""

from __future__ import annotations

from torch import nn

from raynas.errors import InputError


def layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """The convolutions and linear layers of a network, in the order in which they were registered.

    Raises:
        InputError: There is none.
    """
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    if not found:
        raise InputError(
            f"{type(network).__name__}: a zero-cost proxy scores layers of the types Conv2d and Linear, and "
            "there is none; build the network of these"
        )
    return found


def weights(network: nn.Module) -> list[nn.Parameter]:
    """Their weights, each once.

    Raises:
        InputError: There are no such layers.
    """
    counted = {id(layer.weight) for layer in layers(network)}
    return [parameter for parameter in network.parameters() if id(parameter) in counted]
