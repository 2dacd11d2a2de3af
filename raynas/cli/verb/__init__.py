"""The verbs of the command line. One file, one verb."""
