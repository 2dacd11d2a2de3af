"""Macro skeletons: how a supernet puts the cells of a kind of search space together."""
