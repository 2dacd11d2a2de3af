"""What the A2M paper reports on NAS-Bench-201 (Gambella et al. 2025, Table 2)."""

from __future__ import annotations

from collections.abc import Mapping

CIFAR10_TEST_PCT: Mapping[str, float] = {
    "darts_nb201": 72.85,
    "a2m_nb201": 92.39,
    "beta_darts_nb201": 94.15,
    "a2m_beta_darts_nb201": 94.15,
    "lambda_darts_nb201": 92.69,
    "a2m_lambda_darts_nb201": 93.96,
    "darts_pt_nb201": 88.40,
    "a2m_darts_pt_nb201": 92.31,
    "darts_minus_nb201": 93.76,
    "a2m_darts_minus_nb201": 93.76,
    "sdarts_rs_nb201": 80.57,
    "a2m_sdarts_rs_nb201": 84.33,
    "pc_darts_nb201": 70.92,
    "a2m_pc_darts_nb201": 91.95,
}
"""Test accuracy on CIFAR-10 of the derived cell, in percent, by preset."""
OPTIMUM_PCT = 94.37
"""Of the best cell there is."""
