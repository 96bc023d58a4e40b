"""Studies to copy: a folder each, that runs from here and from anywhere else."""
