"""How large a batch may be: what a step costs, how many are needed, and gradient noise."""
