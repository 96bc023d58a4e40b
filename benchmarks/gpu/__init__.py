"""Prepared scripts for a card that is at hand for a quarter of an hour: checks, then measures."""
