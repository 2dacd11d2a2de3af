"""Aggregators: one number for the costs of a neighborhood. One file, one aggregator."""
