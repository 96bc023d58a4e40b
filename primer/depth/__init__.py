"""Work and depth of a training step: in elements, in tasks, on workers; and who holds what."""
