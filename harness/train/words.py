"""Words of training loops that need no torch."""

GRAPHS = ("auto", "on", "off")  # whether steps are replayed as a CUDA graph
