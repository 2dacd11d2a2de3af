"""Gradients of the architecture parameters. One file, one of them."""
