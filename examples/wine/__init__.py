"""A whole study in sixty lines; copy the folder, rename it, change what is asked."""
