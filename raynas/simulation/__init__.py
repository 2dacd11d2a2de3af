"""A simulated cluster: any search over recorded trainings, on any number of workers, without Ray."""

from __future__ import annotations

from raynas.simulation.cluster import Cluster
from raynas.simulation.simulating import Simulation, simulate

__all__ = ["Cluster", "Simulation", "simulate"]
