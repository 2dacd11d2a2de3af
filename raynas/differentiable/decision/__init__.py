"""Decisions: when operations and edges are given up, and which. One file, one decision."""
