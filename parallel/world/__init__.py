"""Places the workers: in this process, in several, on several machines."""
