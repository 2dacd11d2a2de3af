"""How sub-networks are scored: which images, in which batches; read without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from raynas.ranges import require_choice, require_positive

Average = Literal["average", "ema"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Recalibration:
    """How a sub-network gets its batch norms' statistics (GeNAS; Jeong et al., IJCAI 2023).

    Attributes:
        n_images: Training images; as many whole batches are passed as hold them.
        batch_size: Images a batch.
        mode: ``average``: the mean of the batches' statistics, over the same images, unaugmented, for all
            candidates; or as the released code has it, ``ema``: the running mean of training from (0, 1) on,
            over batches drawn and augmented for each candidate anew.
        momentum: Weight of the newest batch in ``ema``; of n batches ``(1 - momentum) ** n`` of (0, 1) is
            left.
    """

    n_images: int = 850
    batch_size: int = 64
    mode: Average = "average"
    momentum: float = 0.1

    def __post_init__(self) -> None:
        require_positive(n_images=self.n_images, batch_size=self.batch_size)
        require_choice("mode", self.mode, get_args(Average))
        if not 0 < self.momentum <= 1:
            raise ValueError(f"momentum: {self.momentum} is outside (0, 1]; give 0.1")

    @property
    def n_batches(self) -> int:
        """How many batches."""
        return -(-self.n_images // self.batch_size)


@dataclass(frozen=True)
class Scoring:
    """On what sub-networks are scored.

    Attributes:
        recalibration: Of the batch norms' statistics.
        n_valid: Validation images, drawn once for all candidates; None: all.
        batch_size: Images that are evaluated at a time, of no influence on results but rounding; None: what
            suits the device.
        precision: ``float32``, which noise of a thousandth needs; ``bfloat16`` (autocast), or ``auto``:
            bfloat16 on a GPU that has it.
    """

    recalibration: Recalibration = field(default_factory=Recalibration)
    n_valid: int | None = None
    batch_size: int | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name in ("n_valid", "batch_size"):
            if getattr(self, name) is not None:
                require_positive(**{name: getattr(self, name)})
        require_choice("precision", self.precision, get_args(Precision))
