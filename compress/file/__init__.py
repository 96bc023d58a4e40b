"""Nets as small files: shared values, coded places, a container that checks itself."""
