"""What every supernet is: a function of images and mixing weights that owns network weights only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from raynas.supernets.layout import Layout
from raynas.supernets.mixing import Mixing


class Supernet(nn.Module):
    """A network of cells in which every edge is a weighted sum of its candidate operations.

    Attributes:
        layout: Rows and columns of its mixing weights.
    """

    layout: Layout

    @property
    @abstractmethod
    def n_cells(self) -> Mapping[str, int]:
        """For each kind of cell, how many there are."""

    @property
    def reads_progress(self) -> bool:
        """Whether the logits hang on ``Mixing.progress``; one that does not say is taken to."""
        return True

    @abstractmethod
    def forward(self, images: Tensor, mixing: Mixing) -> Tensor:
        """``(n, in_channels, H, W)`` images to ``(n, n_classes)`` logits."""
