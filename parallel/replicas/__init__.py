"""Executes strategies in which every worker holds the whole net."""
