"""Keeps the results of a study: files, checkpoints, weights, provenance, which runs are done."""
