"""Trains over cables: what a slow link does to each strategy, beside what was predicted."""
