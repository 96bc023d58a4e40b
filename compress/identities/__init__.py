"""Identities that compressed nets must fulfil, a module for each subject."""
