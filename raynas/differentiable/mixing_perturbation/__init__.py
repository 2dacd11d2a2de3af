"""Perturbations of the mixing weights that network weights are trained under. One file, one of them."""
