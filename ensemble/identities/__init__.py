"""Holds the identities that ensembles must fulfil, and the plain-Python twins."""
