"""Zero-cost proxies: what a network at its first weights says of its accuracy after training. One file, one.

A network is any module that turns ``(n, C, H, W)`` images into ``(n, n_classes)`` logits, made of ``Conv2d``,
``Linear``, batch norms, ReLUs, pools and sums. Layers are found by their types, so a convolution or a ReLU
counts only if it is a module (``functional.relu`` is not seen, nor a weight of a module of another type).
Batch norms use the batch's statistics; the loss is the mean cross-entropy.

Definitions follow NAS-Bench-Suite-Zero (Krishnakumar et al., NeurIPS 2022) where a paper leaves a choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

ZERO_COST = "raynas.predictors.zero_cost"


class Proxy(Protocol):
    """A frozen dataclass of this package."""

    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        """How good a network promises to be: the greater, the better.

        Args:
            network: With its first weights; left as it is, to the last bit.
            images: ``(n, C, H, W)`` network inputs, one training batch, of the network's dtype and device.
            labels: ``(n,)`` int64.
            generator: A CPU generator, which all that is drawn is drawn from; the global random state is
                neither used nor touched.

        Returns:
            The score; -1e8 where it is infinite or not a number.

        Raises:
            InputError: The network has none of the layers that the proxy looks at.
        """
