"""Searchers: what to evaluate next. One file, one searcher."""
