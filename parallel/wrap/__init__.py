"""Wraps a model of yours by one line, for an ordinary loop."""
