"""The training loop of stacked seeds, its clock, and when it cools down and ends."""
