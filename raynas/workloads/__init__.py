"""Workloads: what a trial runs. One file, one workload; files with a leading underscore are their parts."""
