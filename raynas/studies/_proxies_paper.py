"""Published rank correlations of zero-cost proxies on NAS-Bench-201.

From the scores that NAS-Bench-Suite-Zero (Krishnakumar et al., NeurIPS 2022) publishes for 724 random cells,
of NAS-Bench-201's own networks with batches of 32 images, against validation accuracy after 200 epochs.
"""

from __future__ import annotations

SPACE = "nas_bench_201"
SCHEDULE = 200
SKELETON = (16, 5, 3)  # channels, cells a stage, stages
_DATASETS = ("cifar10", "cifar100", "imagenet16_120")

# Spearman's rho and Kendall's tau on each of the datasets.
_PUBLISHED = {
    "nwot": ((0.787, 0.593), (0.814, 0.624), (0.795, 0.609)),
    "jacov": ((0.766, 0.584), (0.725, 0.554), (0.727, 0.553)),
    "params": ((0.738, 0.562), (0.744, 0.569), (0.715, 0.544)),
    "synflow": ((0.736, 0.537), (0.762, 0.563), (0.759, 0.563)),
    "l2_norm": ((0.725, 0.528), (0.748, 0.548), (0.738, 0.540)),
    "flops": ((0.711, 0.520), (0.722, 0.531), (0.694, 0.506)),
    "snip": ((0.608, 0.443), (0.658, 0.487), (0.612, 0.456)),
    "grad_norm": ((0.607, 0.439), (0.648, 0.478), (0.615, 0.454)),
    "grasp": ((0.538, 0.380), (0.552, 0.392), (0.514, 0.373)),
    "fisher": ((0.509, 0.373), (0.555, 0.411), (0.524, 0.390)),
    "plain": ((-0.258, -0.174), (-0.268, -0.178), (-0.256, -0.173)),
}


def published(dataset: str) -> dict[str, tuple[float, float]]:
    """Spearman's rho and Kendall's tau by proxy; nothing for another dataset."""
    if dataset not in _DATASETS:
        return {}
    place = _DATASETS.index(dataset)
    return {name: of_datasets[place] for name, of_datasets in _PUBLISHED.items()}
