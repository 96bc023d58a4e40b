"""Derivatives from either side: rules, tape, dual numbers, Jacobians, checkpoints."""
