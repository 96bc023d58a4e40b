"""Executes strategies in which every worker holds a slice of every layer."""
