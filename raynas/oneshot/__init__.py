"""One-shot search: supernets trained path by path, sub-networks scored with the weights they share."""
