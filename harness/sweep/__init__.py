"""Leads from a command line to finished runs: options, processes, displays, and the end."""
