"""Differentiable architecture search: the bilevel loop and its eight slots."""
