"""Rules that end a search early. One file, one rule."""
