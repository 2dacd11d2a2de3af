"""Regularisers of the network weights' gradients. One file, one of them."""
