"""What says beforehand how good an architecture will be: zero-cost proxies, and a learned ranking."""
