"""What wraps the mixed operations of every edge. One file, one wrapper."""
