"""What the plot script of this study draws of pipelines, a file for each family of plans."""
