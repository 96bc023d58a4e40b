"""Trains step by step, in any world."""
