"""Executes strategies whose workers divide optimizer, gradients and weights into slices (ZeRO)."""
