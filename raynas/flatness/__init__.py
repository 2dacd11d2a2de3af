"""Flatness of a loss landscape: how it is measured and how a neighborhood becomes one number."""
