"""Plans of the ResNet study, a file for each family; no torch."""
