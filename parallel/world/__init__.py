"""Where the workers are: in this process, in several, on several machines."""
