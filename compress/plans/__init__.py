"""Plans of compression, a module for each family; no torch."""
