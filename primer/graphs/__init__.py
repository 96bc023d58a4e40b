"""Three ways to the graph of a function: built by hand, read from its source, traced."""
