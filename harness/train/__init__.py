"""Trains stacked seeds: the loop, its clock, and when each seed cools down and ends."""
