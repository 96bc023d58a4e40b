"""Patterns that move while training: what is dropped, what grows instead, and when."""
