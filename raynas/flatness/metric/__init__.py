"""Metrics of trained networks: flatness, and what it is combined with. One file, one metric."""
