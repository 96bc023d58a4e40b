"""Turns the records of a study into numbers, tables, figures and pages."""
