"""Networks of an architecture: operations, discrete networks, supernets, and what they cost."""
