"""Importers: other files turned into tables. One file, one importer; see ``raynas.benchmarks.importing``."""
