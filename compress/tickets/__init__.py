"""Lottery tickets: levels of iterative magnitude pruning, their branches, and how they train."""
