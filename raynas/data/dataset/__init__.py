"""Datasets: where images come from. One file, one dataset; NumPy only."""
