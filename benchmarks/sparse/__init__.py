"""Sparse layers against the best dense ones and against other sparse ways, on this machine."""
