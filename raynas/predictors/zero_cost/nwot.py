"""NASWOT (Mellor et al., 'Neural Architecture Search without Training', ICML 2021, Eq. 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raynas.errors import InputError
from raynas.predictors._copies import working_copy
from raynas.predictors._scores import as_score


@dataclass(frozen=True)
class Nwot:
    """The log-determinant of how many ReLUs agree on each two images: the less alike, the better.

    Every ReLU must be an ``nn.ReLU`` module.
    """

    def score(
        self, network: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> float:
        return as_score(log_determinant(self.kernel(network, images)))

    @torch.no_grad()
    def kernel(self, network: nn.Module, images: Tensor) -> Tensor:
        """``(n, n)`` units that are on for both images or off for both; on the diagonal, all units.

        Raises:
            InputError: The network has no ReLU module.
        """
        copied = working_copy(network)
        relus = [module for module in copied.modules() if isinstance(module, nn.ReLU)]
        if not relus:
            raise InputError(
                f"{type(network).__name__}: nwot looks at modules of the type nn.ReLU, and there is none; "
                "use these in the place of functional.relu"
            )
        agreeing = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

        def compare(relu: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # Counts, which float32 holds exactly. Off for both: all less those on for one, and for the other.
            on = (inputs[0] > 0).flatten(1).to(torch.float32)
            n_on = on.sum(1)
            agreeing.add_(2 * (on @ on.T) - n_on[:, None] - n_on[None, :] + on.shape[1])

        for relu in relus:
            relu.register_forward_pre_hook(compare)
        copied(images)
        return agreeing


def log_determinant(kernel: Tensor) -> float:
    """Log of the determinant; minus infinity where two images agree on everything, whatever the rounding."""
    n_units = kernel.diagonal()
    if int((kernel == n_units).sum()) > len(kernel):
        return float("-inf")
    return float(torch.linalg.slogdet(kernel.cpu()).logabsdet)
