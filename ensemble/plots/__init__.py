"""Figures of the ensemble study, drawn by plot_ensemble_experiments.py."""
