"""Penalties on architecture parameters, inside the objective. One file, one penalty."""
