"""One training, step by step, in any world."""
