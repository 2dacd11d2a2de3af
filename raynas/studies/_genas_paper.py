"""The paper's figures (Jeong et al., 'GeNAS', IJCAI 2023), by its tables.

Rank correlations are in NAS-Bench-201: Kendall's tau with test accuracy after 200 epochs, or between two
scores, in supernets of the whole network on CIFAR-10, CIFAR-100 and ImageNet16-120. Accuracies are ImageNet
top-1, in percent, of what evolution found in DARTS's space on CIFAR-100, trained anew.
"""

from __future__ import annotations

from raynas.studies._genas_probes import CELLS, HESSIAN, SIGMAS

FLATNESS = (0.6047, 0.5800)  # CIFAR-10, ImageNet16-120
ANGLE_WITH_FLATNESS = (0.4302, 0.4724, 0.4097)  # CIFAR-10, CIFAR-100, ImageNet16-120

SIGMA_TAUS = dict(zip(SIGMAS, ((0.5756, 0.5524), (0.5770, 0.5531), FLATNESS, (0.5416, 0.2364)), strict=True))
ALPHA_TAUS = {0.0: 0.1777, 0.1: 0.4026, 0.5: 0.5890, 1.0: 0.6047, 4.0: 0.5898, 16.0: 0.5820}
NOISE_TAUS = {"all": 0.6047, CELLS: 0.5612, HESSIAN: 0.5908}

# gamma: share of the added score in percent, ImageNet top-1
ANGLE_FLATNESS = {0.0: (0, 75.00), 0.5: (20, 75.22), 1.5: (43, 75.58), 6.0: (76, 75.63), 16.0: (89, 75.72)}
ACCURACY_FLATNESS = {
    0.0: (0, 75.37),
    0.25: (10, 75.34),
    2.0: (41, 75.26),
    8.0: (75, 75.60),
    32.0: (92, 75.85),
}
ANGLE_ACCURACY = {0.0: (0, 75.00), 0.1: (12, 75.32), 0.5: (41, 74.69), 2.5: (78, 74.26), 10.0: (93, 75.05)}
