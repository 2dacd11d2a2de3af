"""Kinds of search space: which edges there are, which sites they form, and how architectures are written."""
