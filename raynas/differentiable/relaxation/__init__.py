"""Relaxations: architecture parameters into mixing weights. One file, one relaxation."""
