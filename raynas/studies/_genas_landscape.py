"""The loss over the noise on the weights, of the best, the middle and the worst architectures (Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raynas.flatness.metric.flatness import Flatness
from raynas.studies import _genas_measuring
from raynas.studies._genas_probes import LOSS, Probe

if TYPE_CHECKING:
    import pandas as pd

    from raynas.studies import Progress
    from raynas.studies._genas_material import Material
    from raynas.studies._genas_measuring import Readings
    from raynas.studies._truth import Indices

GROUPS = ("top", "middle", "bottom")
GRID = (1e-3, 2e-3, 3.5e-3, 5e-3, 7.5e-3, 1e-2, *(round(5e-3 * step, 3) for step in range(3, 13)))
_PROBE = "grid"


def groups(material: Material, n: int) -> dict[str, Indices]:
    """Places in ``material.architectures`` by group, where there is a path through the architecture.

    Args:
        material: The truth.
        n: Architectures a group; fewer where there are too few. 0 for no groups.
    """
    living = np.flatnonzero(material.lives)
    n = min(n, living.size // len(GROUPS))
    if not n:
        return {}
    order = living[np.argsort(-material.truth[living], kind="stable")]
    middle = (order.size - n) // 2
    return dict(zip(GROUPS, (order[:n], order[middle : middle + n], order[-n:]), strict=True))


def measure(
    material: Material,
    of_groups: Mapping[str, Indices],
    readings: Sequence[Readings],
    *,
    progress: Progress,
) -> pd.DataFrame:
    """Losses over the noise.

    Args:
        material: The supernets.
        of_groups: As ``groups`` gives them.
        readings: What was measured already: the losses without noise.
        progress: Told after every piece.

    Returns:
        A row a (supernet, architecture, sigma), 0 included: ``loss`` and ``rise``, that above the one without
        noise, in nats.
    """
    import pandas as pd

    columns = ["supernet", "group", "index", "test_accuracy_pct", "sigma", "loss", "rise"]
    places = [(name, place) for name, of in of_groups.items() for place in of.tolist()]
    if not places:
        return pd.DataFrame(columns=columns)
    probe = Probe(_PROBE, Flatness(sigma=GRID), len(places))
    chosen = [material.architectures[place] for _, place in places]
    found = _genas_measuring.measure(material, chosen, [probe], progress=progress)
    rows = [
        (number, group, material.indices[place], material.truth[place], sigma, loss, loss - clean)
        for number, (one, before) in enumerate(zip(found, readings, strict=True), 1)
        for (group, place), losses in zip(places, one.losses(_PROBE).tolist(), strict=True)
        for clean in [float(before.of(LOSS)[place])]
        for sigma, loss in zip((0.0, *GRID), (clean, *losses), strict=True)
    ]
    return pd.DataFrame(rows, columns=columns)
