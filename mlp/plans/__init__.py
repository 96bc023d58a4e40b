"""Plans of the MLP study, a file for each family; no torch."""
