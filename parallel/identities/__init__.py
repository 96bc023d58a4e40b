"""Holds the identities that strategies must fulfil, and the plain-Python oracle."""
