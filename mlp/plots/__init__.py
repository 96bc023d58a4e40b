"""What the plot script of this study draws, a file for each family of plans."""
