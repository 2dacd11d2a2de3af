"""Level 0 of the study: proxies on networks as large as the table's, each scored once for all searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raynas.search.searcher.rank_predictor import Level0

if TYPE_CHECKING:
    from raynas.spaces import Architecture
    from raynas.studies._baselines_table import Material
    from raynas.studies.rank_nosh import RankNosh


@dataclass(frozen=True)
class RememberedLevel0(Level0):
    """Level 0 whose scores are of one batch and one draw of first weights, whatever a search's seed.

    Attributes:
        seed: Of batch and weights.
    """

    seed: int = 0
    _known: dict[Architecture, float] = field(default_factory=dict, compare=False, repr=False)

    def scores(self, architectures: Sequence[Architecture], seed: int) -> list[float]:
        new = [one for one in dict.fromkeys(architectures) if one not in self._known]
        if new:
            self._known.update(zip(new, super().scores(new, self.seed), strict=True))
        return [self._known[one] for one in architectures]


def level_0(proxy: str, material: Material, options: RankNosh) -> RememberedLevel0:
    """Level 0 by a proxy.

    Args:
        proxy: Its name.
        material: Whose networks are scored, as the study of proxies takes them from a table.
        options: Of the study.

    Raises:
        InputError: There are no images that it can see.
    """
    from raynas.studies import _proxies_table
    from raynas.studies.proxies import Proxies

    study = Proxies(
        dataset=material.judge.dataset, images=options.images, root=options.root, proxies=(proxy,)
    )
    read = _proxies_table.read(material.table, study)
    return RememberedLevel0(
        read.spec,
        proxy,
        channels=read.skeleton.channels,
        cells=read.skeleton.cells,
        stages=read.skeleton.stages,
        seed=options.seed,
    )
