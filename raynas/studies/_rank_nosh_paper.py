"""Published budgets and results of RANK-NOSH (Wang et al., arXiv 2108.08019) beside what it is compared with.

On NAS-Bench-201 the result is test accuracy and the other search is arch2vec's Bayesian optimisation; on
DARTS it is test error, and the others are BANANAS and arch2vec. The paper's abstract says 5 times.
"""

from __future__ import annotations

# Space, dataset, result, epochs of RANK-NOSH, epochs of the other.
PUBLISHED = (
    ("NAS-Bench-201", "CIFAR-10", "94.26 % accuracy", 292, 1_200),
    ("NAS-Bench-201", "CIFAR-100", "73.51 % accuracy", 5_550, 20_000),
    ("NAS-Bench-201", "ImageNet16-120", "46.34 % accuracy", 5_550, 20_000),
    ("DARTS", "CIFAR-10", "2.53 ± 0.02 % error", 990, 5_000),
)
CLAIM = 5.0
"""Times less budget."""
