"""Plans of the ensemble study, a file for each family; no torch."""
