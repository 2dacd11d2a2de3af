"""Schedulers: which trials go on, wait or end. One file, one scheduler."""
