"""Plans of the data-parallel studies, a file for each family with its own settings; no torch."""
